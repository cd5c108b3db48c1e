"""Whether a source's values can be those of features at all: instants within reach, numbers and keys of a size. Reads each state once."""

import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass

import polars as pl

from modelyard.core.digests import Digest
from modelyard.features.domain import FeatureView, Push, SourceUnreadable
from modelyard.features.domain.types import LONGEST_KEY_BYTES
from modelyard.features.frames import outside_of_years
from modelyard.features.sources import OpenSource

_REMEMBERED = 256


@dataclass(frozen=True)
class _Check:
    """Where values are wrong, what is shown of the first one, and the words around it."""

    is_bad: pl.Expr
    value: pl.Expr
    before: str
    after: str


_lock = threading.Lock()
_sound: OrderedDict[tuple[Digest, Hashable], None] = OrderedDict()


def check_values(view: FeatureView, files: OpenSource) -> None:
    """Raises SourceUnreadable where the source is empty or no row has an event time, and for values that no feature can have.

    Its columns have the types of the view.
    """
    if isinstance(view.source, Push):
        return  # each event was checked as it came, and there may be none yet
    key = (view.digest, files.state)
    with _lock:
        if key in _sound:
            return
    schema = files.schema()
    checks = list(_checks(view, schema))
    rows = files.scan()
    counts = {"rows": pl.len(), "dated": pl.col(view.source.timestamp).count()}
    firsts = {f"{number}": check.value.filter(check.is_bad).first() for number, check in enumerate(checks)}
    try:
        found = rows.select(**counts, **firsts).collect(engine="streaming").row(0, named=True)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise SourceUnreadable(f"{files.place} cannot be read: {error}", hint="write the source anew") from error
    wrong = [(check, found[f"{number}"]) for number, check in enumerate(checks)]
    said = [f"{check.before} {value} {check.after}" for check, value in wrong if value is not None]
    if not found["rows"]:
        said = ["it holds no rows"]
    elif not found["dated"]:
        said.append(f"none of its {found['rows']} rows has an event time in {view.source.timestamp!r}")
    if said:
        raise SourceUnreadable(f"view {view.name}: {files.place} cannot be used: {'; '.join(said)}", hint="mend the source, and try again")
    with _lock:
        _sound[key] = None
        while len(_sound) > _REMEMBERED:
            _sound.popitem(last=False)


def _checks(view: FeatureView, schema: Mapping[str, pl.DataType]) -> Iterator[_Check]:
    for name in view.source.times:
        is_bad, value, unit = outside_of_years(name, schema[name])
        yield _Check(is_bad, value, f"{name!r} holds an instant of", f"{unit} since 1970, outside of the years 1 to 9999")
    for name in dict.fromkeys([*(key.name for key in view.entity.keys), *view.source_columns]):
        if schema[name] == pl.UInt64:
            yield _Check(pl.col(name) > 2**63 - 1, pl.col(name), f"{name!r} holds", "and int64 ends at 9223372036854775807")
    for key in view.entity.keys:
        if key.dtype == "string":
            size = pl.col(key.name).cast(pl.String).str.len_bytes()
            yield _Check(size > LONGEST_KEY_BYTES, size, f"a key in {key.name!r} has", f"bytes, and at most {LONGEST_KEY_BYTES} may be")
