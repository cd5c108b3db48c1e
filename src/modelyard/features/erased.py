"""Rows that are not read any more because their entity was erased: the process's tombstones, and sources without those rows.

Owns the secret under which keys are known, and that one value of the process: every view's source is opened here, so that
what was erased comes back by no way. Nothing is left out before a role has opened it.
"""

import hashlib
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec
import polars as pl

from modelyard.core.clock import Instant
from modelyard.core.digests import Digest, digest_of
from modelyard.core.errors import Corrupted
from modelyard.features.domain import Entity, FeatureView, Push, Source, Tombstone
from modelyard.features.rows import CREATED, EVENT, instant_expression, key_expressions, source_files
from modelyard.features.sources import OpenSource
from modelyard.features.sources.pushed import OpenPushed
from modelyard.storage.durable import put_secret

SECRET_BYTES = 32
AGE_S = 1.0
"""How long tombstones are believed before they are read again."""
UNTIL, CAST = "\x1ferased", "\x1fkey"
_REMEMBERED = 64


class ErasureKey:
    """The secret that marks are made with, a file of the data folder: without it the marks say nothing of any key."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self.name = hashlib.blake2b(secret, digest_size=8, person=b"erasure-key").hexdigest()

    @classmethod
    def open(cls, path: Path) -> "ErasureKey":
        """The key at `path`, made at the first call, readable by its owner only. Raises Corrupted."""
        if not path.exists():
            put_secret(path, secrets.token_bytes(SECRET_BYTES))
        secret = path.read_bytes()
        if len(secret) != SECRET_BYTES:
            raise Corrupted(f"{path} holds no key", hint="restore the file from a backup")
        return cls(secret)

    def mark(self, entity: str, keys: Sequence[object]) -> str:
        """What stands for an entity's key in a tombstone."""
        return hashlib.blake2b(msgspec.json.encode([entity, *keys]), key=self._secret, digest_size=32).hexdigest()


class Tombstones:
    """What this process knows of erasures: read again when what it knows has become old, or told at once."""

    def __init__(self, key: ErasureKey, read: Callable[[], Sequence[Tombstone]]) -> None:
        self.key = key
        self._read = read
        self._known: tuple[Tombstone, ...] = ()
        self._read_at = float("-inf")

    def tell(self, known: Sequence[Tombstone]) -> None:
        """What is known from now on. Raises Corrupted where marks were made under another secret: no row could be told."""
        if any(one.secret != self.key.name for one in known):
            raise Corrupted(
                "entities were erased under another secret than keys/erasures.key, so that their rows cannot be told",
                hint="restore keys/erasures.key from a backup",
            )
        self._known, self._read_at = tuple(known), time.monotonic()

    def of(self, entity: Entity) -> tuple[Tombstone, ...]:
        """The tombstones of an entity, known by these keys."""
        if time.monotonic() - self._read_at > AGE_S:
            self.tell(self._read())
        columns = tuple(key.name for key in entity.keys)
        return tuple(one for one in self._known if one.entity == entity.name and columns not in one.others)


_opened: Tombstones | None = None


def open_tombstones(found: Tombstones | None) -> None:
    """Has the views of this process leave out the rows that those tombstones know; none of them, from now on, where it is None."""
    global _opened  # noqa: PLW0603 - one a process, see above
    _opened = found


def opened_tombstones() -> Tombstones | None:
    """The tombstones of this process, where a role has opened them."""
    return _opened


def erased_state(view: FeatureView) -> str:
    """What tells that other rows of the view are left out than before; empty where none ever were."""
    found = () if _opened is None else _opened.of(view.entity)
    return _state_of(found)


def _state_of(tombstones: Sequence[Tombstone]) -> str:
    return digest_of([[one.mark, str(one.erased_at)] for one in tombstones])[7:] if tombstones else ""


def view_files(view: FeatureView, root: Path) -> OpenSource:
    """The view's source as it stands now, its path taken from `root`, without the rows of entities that were erased.

    Raises SourceUnreadable, and SourceDrifted for values of another type.
    """
    files = source_files(view.source, root)
    found = () if _opened is None else _opened.of(view.entity)
    return files if _opened is None or not found else _WithoutErased(files, view, _opened.key, found)


def pushed_digest(state: str, digest: Digest) -> Digest:
    """What stands for pushed events that have `digest`, read in an `erased_state`: all erasures of the view's entity are in it.

    So it is told without a look through all events which of two came first.
    """
    return digest_of([digest, state]) if state else digest


def remember(opened: OpenSource) -> None:
    """Has `rest_of` know what was opened later; only pushed events can be told from what they were."""
    files = opened.files if isinstance(opened, _WithoutErased) else opened
    if isinstance(files, OpenPushed):
        files.remember()


def rest_of(opened: OpenSource, digest: Digest, rows: int) -> OpenSource | None:
    """What has been pushed since a source had `rows` and that digest; `None` where it never had, or does not only grow."""
    if isinstance(opened, OpenPushed):
        return opened.rest(digest, rows, lambda known: known)
    if isinstance(opened, _WithoutErased) and isinstance(opened.files, OpenPushed):
        state = _state_of(opened.tombstones)
        rest = opened.files.rest(digest, rows, lambda known: pushed_digest(state, known))
        return None if rest is None else opened.over(rest)
    return None


def without_erased(view: FeatureView, rows: pl.DataFrame) -> pl.DataFrame:
    """`rows`, which are some of the view's source in the one shape of `rows.normalised`, without those that are left out."""
    tombstones = () if _opened is None else _opened.of(view.entity)
    if _opened is None or not tombstones or rows.is_empty():
        return rows
    names = [key.name for key in view.entity.keys]
    found = _known_keys(rows.select(names).unique(), view.entity, _opened.key, tombstones)
    joined = rows.join(found, on=names, how="left", maintain_order="left")
    return joined.filter((pl.max_horizontal(EVENT, CREATED) > pl.col(UNTIL)).fill_null(value=True)).drop(UNTIL)


def erased_mask(view: FeatureView, rows: pl.DataFrame) -> pl.Series:
    """Which of `rows`, which have the columns of the view's source, are left out."""
    tombstones = () if _opened is None else _opened.of(view.entity)
    if _opened is None or not tombstones or rows.is_empty():
        return pl.repeat(value=False, n=rows.height, eager=True)
    keys = rows.select(key_expressions(view.entity.keys, rows.schema))
    found = _known_keys(keys.drop_nulls().unique(), view.entity, _opened.key, tombstones)
    until = keys.join(found, on=keys.columns, how="left", maintain_order="left")[UNTIL]
    event = instant_expression(view.source.timestamp, rows.schema)
    created = event if view.source.created is None else pl.coalesce(instant_expression(view.source.created, rows.schema), event)
    return (rows.select(available=pl.max_horizontal(event, created))["available"] <= until).fill_null(value=False)


def observed_rows(opened: OpenSource, source: Source, entities: Iterable[Entity]) -> pl.LazyFrame:
    """The rows of a source that no view stands over, in an order that is always the same.

    Of pushed events, which are nobody else's to delete, without those of `entities` that were erased.
    """
    if not isinstance(opened, OpenPushed) or not isinstance(source, Push):
        return opened.scan()
    rows, schema = opened.in_order(), opened.schema()
    available = pl.max_horizontal(*(instant_expression(name, schema) for name in source.times))
    for entity in entities:
        tombstones = () if _opened is None else _opened.of(entity)
        names = [key.name for key in entity.keys]
        if _opened is None or not tombstones or not set(names) <= set(schema):
            continue
        known = rows.select(names).drop_nulls().unique().collect(engine="streaming")
        erased = _known_keys(known, entity, _opened.key, tombstones).lazy()
        joined = rows.join(erased, on=names, how="left", maintain_order="left")
        rows = joined.filter((available > pl.col(UNTIL)).fill_null(value=True)).drop(UNTIL)
    return rows


def count_erased(entities: Iterable[Entity], keys: pl.DataFrame, made_at: Instant) -> int:
    """How many rows are about an entity that was erased at `made_at` or later: rows of a table that was made then, by its key columns."""
    is_erased = pl.lit(value=False)
    for entity in entities if _opened is not None else ():
        names = [key.name for key in entity.keys]
        marks = {one.mark for one in (_opened.of(entity) if _opened is not None else ()) if one.erased_at >= made_at}
        if not marks or not set(names) <= set(keys.columns):
            continue
        known = keys.select(names).drop_nulls().unique()
        hits = [row for row in known.iter_rows() if _opened is not None and _opened.key.mark(entity.name, row) in marks]
        found = pl.DataFrame(hits, schema=known.schema, orient="row").with_columns(pl.lit(value=True).alias(UNTIL))
        mine = keys.join(found, on=names, how="left", maintain_order="left")[UNTIL].is_not_null()
        is_erased = is_erased | pl.lit(mine)
    return int(keys.select(is_erased.sum()).item())


class _WithoutErased:
    """A source whose erased rows have no key. A row without one stands for nothing, and every other keeps its number."""

    def __init__(self, files: OpenSource, view: FeatureView, key: ErasureKey, tombstones: tuple[Tombstone, ...]) -> None:
        self.files, self._view, self._key, self.tombstones = files, view, key, tombstones

    def over(self, files: OpenSource) -> "_WithoutErased":
        """The same of other rows of the source."""
        return _WithoutErased(files, self._view, self._key, self.tombstones)

    @property
    def state(self) -> Hashable:
        """What tells cheaply whether it still is what it was."""
        return self.files.state, self.tombstones

    @property
    def place(self) -> str:
        """Where it lies, for messages."""
        return self.files.place

    def digest(self) -> Digest:
        """What stands for its content in evidence: the source's own digest where it holds no row of an erased entity."""
        if isinstance(self._view.source, Push):
            return pushed_digest(_state_of(self.tombstones), self.files.digest())
        return _once(_digests, self._state(), self._digest)

    def _digest(self) -> Digest:
        found, digest = self._erased(), self.files.digest()
        return digest if found.is_empty() else digest_of([digest, sorted(self._marks_of(found))])

    def schema(self) -> Mapping[str, pl.DataType]:
        """Its columns and their types."""
        return self.files.schema()

    def count(self) -> int:
        """How many rows it has, erased ones included."""
        return self.files.count()

    def scan(self) -> pl.LazyFrame:
        """Its rows; of those that are left out the keys are null."""
        found, rows = self._erased(), self.files.scan()
        if found.is_empty():
            return rows
        view, schema = self._view, self.schema()
        event = instant_expression(view.source.timestamp, schema)
        created = event if view.source.created is None else pl.coalesce(instant_expression(view.source.created, schema), event)
        cast = {key.name: f"{CAST}{place}" for place, key in enumerate(view.entity.keys)}
        keyed = rows.with_columns(value.alias(cast[value.meta.output_name()]) for value in key_expressions(view.entity.keys, schema))
        joined = keyed.join(found.rename(cast).lazy(), on=list(cast.values()), how="left", maintain_order="left")
        is_erased = pl.max_horizontal(event, created) <= pl.col(UNTIL)
        hidden = [pl.when(is_erased).then(None).otherwise(pl.col(name)).alias(name) for name in cast]
        return joined.with_columns(hidden).select(rows.collect_schema().names())

    def _erased(self) -> pl.DataFrame:
        """The keys of the source's rows that tombstones know, with the instant until which they are left out.

        Each state of a source is looked through once: it is hashed key by key.
        """
        return _once(_found, self._state(), self._look)

    def _look(self) -> pl.DataFrame:
        view, rows = self._view, self.files.scan()
        known = rows.select(key_expressions(view.entity.keys, self.files.schema())).drop_nulls().unique().collect(engine="streaming")
        return _known_keys(known.select(key.name for key in view.entity.keys), view.entity, self._key, self.tombstones)

    def _state(self) -> Hashable:
        return self._view.digest, self.files.place, self.files.state, self._key.name, self.tombstones

    def _marks_of(self, found: pl.DataFrame) -> list[list[str]]:
        return [[self._key.mark(self._view.entity.name, keys), str(until)] for *keys, until in found.rows()]


Made = TypeVar("Made")
_lock = threading.Lock()
_found: OrderedDict[Hashable, pl.DataFrame] = OrderedDict()
_digests: OrderedDict[Hashable, Digest] = OrderedDict()


def _once(known: OrderedDict[Hashable, Made], of: Hashable, make: Callable[[], Made]) -> Made:
    """What `make` gives, remembered for the last few that were asked for."""
    with _lock:
        if of in known:
            known.move_to_end(of)
            return known[of]
    made = make()
    with _lock:
        known[of] = made
        while len(known) > _REMEMBERED:
            known.popitem(last=False)
    return made


def _known_keys(keys: pl.DataFrame, entity: Entity, key: ErasureKey, tombstones: tuple[Tombstone, ...]) -> pl.DataFrame:
    """Those of an entity's `keys` that tombstones know, with the instant until which their rows are left out."""
    until = {one.mark: one.erased_at for one in sorted(tombstones, key=lambda one: one.erased_at)}
    hits = [(*row, until[mark]) for row in keys.iter_rows() if (mark := key.mark(entity.name, row)) in until]
    return pl.DataFrame(hits, schema={**keys.schema, UNTIL: pl.Int64()}, orient="row")
