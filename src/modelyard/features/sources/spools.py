"""Rows that were read once, kept as Parquet beside: of sources that are slow to read, or are never the same twice.

Owns the folders and how long they are kept. A folder goes when nobody holds its spool any more.
"""

import shutil
import tempfile
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path

import polars as pl

from modelyard.core.digests import Digest
from modelyard.features.sources.opened import ROW

KEPT_BYTES = 2**32
"""Spools that are kept, all together; the one that was used last stays, whatever its size."""


class Spool:
    """Typed rows in a folder of their own, in parts that are named in order."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="modelyard-source-"))
        self.schema: Mapping[str, pl.DataType] = {}
        self.digest = Digest("")
        self.made = time.monotonic()
        self._parts: list[Path] = []
        weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)

    def new_part(self) -> Path:
        """Where the next part is to be written."""
        self._parts.append(self.folder / f"{len(self._parts):08}.parquet")
        return self._parts[-1]

    @property
    def parts(self) -> tuple[Path, ...]:
        """The parts, in order."""
        return tuple(self._parts)

    @property
    def size_bytes(self) -> int:
        """What it takes on the disk."""
        return sum(part.stat().st_size for part in self._parts)

    def scan(self) -> pl.LazyFrame:
        """The rows with `ROW`."""
        if not self._parts:
            return pl.LazyFrame(schema={**self.schema, ROW: pl.get_index_type()})
        return pl.scan_parquet(list(self._parts), row_index_name=ROW, glob=False)

    def count(self) -> int:
        """How many rows there are."""
        return int(pl.scan_parquet(list(self._parts), glob=False).select(pl.len()).collect().item()) if self._parts else 0


_lock = threading.Lock()
_kept: OrderedDict[Hashable, Spool] = OrderedDict()
_making: dict[Hashable, threading.Lock] = {}


def kept_spool(key: Hashable, make: Callable[[], Spool], *, most_age_s: float | None = None) -> Spool:
    """The spool under `key`, made where there is none or none so young; nobody makes it twice at a time."""
    with _lock:
        mine = _making.setdefault(key, threading.Lock())
    with mine:
        with _lock:
            found = _kept.get(key)
            if found is not None and (most_age_s is None or time.monotonic() - found.made <= most_age_s):
                _kept.move_to_end(key)
                return found
        made = make()
        with _lock:
            _making.pop(key, None)  # whoever waits for it, or comes now, finds the spool
            _kept[key] = made
            _kept.move_to_end(key)
            while len(_kept) > 1 and sum(one.size_bytes for one in _kept.values()) > KEPT_BYTES:
                _kept.popitem(last=False)
        return made


def forget_spools(is_meant: Callable[[Hashable], bool]) -> None:
    """Has the spools under these keys be made anew when they are asked for again."""
    with _lock:
        for key in [one for one in _kept if is_meant(one)]:
            del _kept[key]
