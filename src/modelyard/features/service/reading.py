"""Values for those who ask: training rows and recomputation from the sources, and reads of the online store by name."""

from collections.abc import Iterable
from pathlib import Path

import msgspec
import polars as pl

from modelyard.access.domain import Principal
from modelyard.features import store
from modelyard.features.domain import AppliedView, BadLabels, ColumnProfile, FeatureSet, FeatureView, OnlineValues, Reason, ViewNotFound
from modelyard.features.domain.types import LONGEST_KEY_BYTES
from modelyard.features.exact import Ints
from modelyard.features.materialization import find_mark, list_entities
from modelyard.features.offline import Roots, TrainingRows, Upto, offline_values, training_rows
from modelyard.features.on_demand import check_request, on_demand_columns
from modelyard.features.online import OnlineReader
from modelyard.features.profile import profiled
from modelyard.features.rows import POLARS_TYPE
from modelyard.features.service.definitions import get_readable_set
from modelyard.features.stored import Histories
from modelyard.storage.database import Database, Snapshot
from modelyard.storage.online import OnlineStore

MOST_ROWS = 10_000
SAMPLE = 1_000


class OnlineSample(msgspec.Struct, frozen=True, kw_only=True):
    """Some entities of a view as they are online: how many were read, a profile per feature, and why values are missing."""

    entities: int
    profiles: dict[str, ColumnProfile]
    missing: dict[str, dict[int, Reason]]


def roots_of(snapshot: Snapshot, feature_set: FeatureSet) -> Roots:
    """The folders that the set's sources are taken from, as they were applied. Raises ViewNotFound."""
    found = {}
    for view in feature_set.views:
        applied = store.find_view(snapshot, view.name, view.digest)
        if applied is None:
            raise ViewNotFound(
                f"view {view.name} has not been applied in this version", hint="apply the set before its values are asked for"
            )
        found[view.name] = Path(applied.root)
    return found


def historical_rows(
    database: Database, feature_set: FeatureSet, labels: pl.DataFrame, as_of: str, histories: Histories | None = None
) -> TrainingRows:
    """`labels` with the features that were visible at each row's instant in `as_of`, with digest, profile and sources.

    Raises ViewNotFound, BadLabels, SourceUnreadable, SourceDrifted.
    """
    with database.read() as snapshot:
        roots = roots_of(snapshot, feature_set)
    return training_rows(feature_set, labels, as_of, roots, histories)


def recompute(  # noqa: PLR0913 - database and histories are where it reads
    database: Database,
    feature_set: FeatureSet,
    keys: pl.DataFrame,
    at: Ints,
    upto: Upto | None = None,
    *,
    histories: Histories | None = None,
) -> pl.DataFrame:
    """The offline features for each row of `keys` at each instant (int64 microseconds): what online reads are held against.

    They are those of views: `recompute_on_demand` makes what is computed from them.

    `upto` says by view how far its source had been brought online when each row was read (as `OnlineValues.upto_at` did;
    any instant before all rows where it never was). With it the answer is what was read, bit for bit; without it, what ought to have been.
    """
    with database.read() as snapshot:
        roots = roots_of(snapshot, feature_set)
    return offline_values(feature_set.read, keys, at, roots, upto=upto, histories=histories)[0]


def recompute_on_demand(feature_set: FeatureSet, rows: pl.DataFrame) -> pl.DataFrame:
    """What the set's functions give over whole columns for rows with all that they read: features, keys and the request's fields."""
    return pl.DataFrame(on_demand_columns(feature_set, rows.select(feature_set.read.names), rows))


def read_features(
    snapshot: Snapshot, online: OnlineStore, principal: Principal, feature_set: str, rows: list[dict[str, str | int | float | bool | None]]
) -> OnlineValues:
    """The set's values online, now, for the entities of each row, and what its functions make of them and of the row.

    Raises FeatureSetNotFound, NotAllowed, BadLabels, OnlineUnavailable.
    """
    if len(rows) > MOST_ROWS:
        raise BadLabels(f"{len(rows)} rows are asked for at once, at most {MOST_ROWS} may be", hint="ask in parts, or join offline")
    found = get_readable_set(snapshot, principal, feature_set).set
    check_request(found.request, rows)
    for key in found.keys:
        longest = max((len(value.encode("utf-8", "replace")) for row in rows if isinstance(value := row.get(key.name), str)), default=0)
        if longest > LONGEST_KEY_BYTES:
            words = f"{key.name!r} holds a key of {longest} bytes, and at most {LONGEST_KEY_BYTES} may be"
            raise BadLabels(words, hint="ask by the key as the source has it")
    return OnlineReader(found).read(online, rows, snapshot.now())


def known_entity(online: OnlineStore, views: Iterable[FeatureView]) -> dict[str, object]:
    """Keys by which values are online: of each view the entity that became known first. For examples; a view without values has none."""
    found: dict[str, object] = {}
    for view in views:
        mark = find_mark(online, view)
        first = [] if mark is None else list_entities(online, view, mark, most=1)
        found = {**dict(zip((key.name for key in view.entity.keys), first[0], strict=True)), **found} if first else found
    return found


def sample_online(snapshot: Snapshot, online: OnlineStore, applied: AppliedView, *, most: int = SAMPLE) -> OnlineSample:
    """What a view's values look like online now, by up to `most` of its entities: none where it was never materialized."""
    mark = find_mark(online, applied.view)
    if mark is None:
        return OnlineSample(entities=0, profiles={}, missing={})
    names = [key.name for key in applied.view.entity.keys]
    entities = list_entities(online, applied.view, mark, most=most)
    rows = [dict(zip(names, keys, strict=True)) for keys in entities]
    values = OnlineReader(FeatureSet(applied.view.name, [applied.view])).read(online, rows, snapshot.now())
    types = {column.name: POLARS_TYPE[column.dtype] for column in applied.view.columns if column.dtype is not None}
    frame = pl.DataFrame([pl.Series(name, column, dtype=types[name]) for name, column in values.columns.items()])
    profiles = {column.name: column for column in profiled(frame).columns}
    return OnlineSample(entities=len(rows), profiles=profiles, missing=values.missing)
