"""The stages about data: the training snapshot, as of this instant, and whether it is fit to learn from."""

from pathlib import Path

import msgspec
import polars as pl

from modelyard.core.clock import Instant, moment
from modelyard.core.digests import Digest
from modelyard.core.errors import InvalidInput
from modelyard.delivery.declaration import AsOf, ModelDeclaration, Observations
from modelyard.delivery.domain import DeliveryState, Facts
from modelyard.delivery.machine import Done, Outcome, Stopped
from modelyard.delivery.observed import open_observations, read_columns
from modelyard.delivery.stages.splitting import AS_OF, Cut, in_places, split
from modelyard.delivery.stages.yard import Job, Yard, put_frame, snapshot_of
from modelyard.features.domain import DType, SourceUse
from modelyard.features.domain.types import find_dtype
from modelyard.features.erased import observed_rows
from modelyard.features.offline import training_rows
from modelyard.features.sources.opened import read_anew
from modelyard.features.sources.queries import renew_queries
from modelyard.features.stored import Histories
from modelyard.storage.rows import digest_frame

FEWEST_ROWS = 200
FEWEST_TEST_ROWS = 50
MOST_MISSING_RISE = 0.25
KINDS: dict[DType, type[pl.DataType]] = {"string": pl.String, "int64": pl.Int64, "float64": pl.Float64, "bool": pl.Boolean}


class Learnable(msgspec.Struct, frozen=True, kw_only=True):
    """A training snapshot as it was read: the rows, their digest, and which sources of views were read for them."""

    frame: pl.DataFrame
    digest: Digest
    sources: tuple[SourceUse, ...] = ()


def snapshot(yard: Yard, job: Job) -> Outcome:
    """Reads the rows whose label is known by now, joins the features as they were visible, and stores the table by digest."""
    with yard.database.read() as state:
        now = state.now()
    found = learnable(job.declaration, job.root, now, yard.histories)
    yard.beat()
    facts: Facts = {
        "rows": found.frame.height,
        "digest": found.digest,
        "file": put_frame(yard.blobs, found.frame),
        "feature_set": None if job.declaration.features is None else job.declaration.features.digest,
        "sources": [msgspec.to_builtins(use) for use in found.sources],
        "as_of": now,
    }
    return Done(facts=facts)


def learnable(declaration: ModelDeclaration, root: Path, now: Instant, histories: Histories | None = None) -> Learnable:
    """The snapshot that a declaration gives at `now`, its sources' paths taken from `root`: labelled rows, joined with features."""
    renew_queries((declaration.observations.source, *(view.source for view in declaration.views)))
    labels = read_anew(lambda: labelled_rows(declaration, root, now))
    if declaration.features is None:
        return Learnable(frame=labels, digest=digest_frame(labels))
    found = training_rows(declaration.features, labels, AS_OF, {view.name: root for view in declaration.views}, histories)
    return Learnable(frame=found.frame, digest=found.digest, sources=found.sources)


def labelled_rows(declaration: ModelDeclaration, root: Path, now: Instant) -> pl.DataFrame:
    """The observations whose label is known at `now`, with keys, request fields, the label, and the instant `as_of` if they have one.

    They are in the order of their instants, or of their places. Raises InvalidInput where the source has no such column, no
    such row, or values that a request of the declared type never brings.
    """
    observations = declaration.observations
    source, wanted = open_observations(declaration, root), read_columns(declaration)
    entities = dict.fromkeys(view.entity for view in declaration.views)
    rows = observed_rows(source, observations.source, entities).filter(pl.col(declaration.label).is_not_null())
    if declaration.as_of is None:
        found = in_places(_as_declared(rows.select(*wanted).collect(), declaration), declaration.inputs, declaration.label)
    else:
        dated = _dated(rows, observations, declaration.as_of, now).select(*wanted, AS_OF).sort(AS_OF, maintain_order=True)
        found = _as_declared(dated.collect(), declaration)
    if found.is_empty():
        raise InvalidInput(f"no row of {source.place} has a known label yet", hint="wait for labels, or lengthen the history")
    return found


def _as_declared(frame: pl.DataFrame, declaration: ModelDeclaration) -> pl.DataFrame:
    """The rows with the request's fields in their declared types: what is learned from is what requests bring.

    A source's own types may change with a missing value, and with them a row's place.
    """
    path = declaration.observations.source.place
    return frame.with_columns(_typed(frame[one.name], one.dtype, path) for one in declaration.request)


def _typed(column: pl.Series, dtype: DType, path: str) -> pl.Series:
    found = find_dtype(column.dtype)
    if found == dtype:
        return column
    is_number = found in ("int64", "float64", "bool") and dtype in ("int64", "float64")
    if not is_number and column.dtype != pl.Null:
        raise InvalidInput(
            f"{column.name!r} of {path} is {column.dtype}, and requests bring it as {dtype}",
            hint="declare the type that the rows have, or write the column in the declared one",
        )
    known = column.fill_nan(None) if found == "float64" else column
    changed = known.cast(KINDS[dtype], strict=False)
    lost = known.filter((changed.cast(known.dtype) != known).fill_null(value=True) & known.is_not_null())
    if dtype == "int64" and lost.len():
        raise InvalidInput(f"{column.name!r} of {path} holds {lost[0]}, and requests bring whole numbers", hint="declare it as float")
    return changed


def _dated(rows: pl.LazyFrame, observations: Observations, as_of: AsOf, now: Instant) -> pl.LazyFrame:
    """The rows whose label is known at `now`, no older than the history reaches, with the instant that they are as of."""
    known = pl.col(observations.known).cast(pl.Datetime("us", "UTC"))
    instant = pl.col(as_of.column).cast(pl.Datetime("us", "UTC")) - pl.duration(microseconds=as_of.before_us)
    found = rows.filter(known <= moment(now)).with_columns(instant.alias(AS_OF))
    return found if observations.history_us is None else found.filter(pl.col(AS_OF) >= moment(Instant(now - observations.history_us)))


def check(yard: Yard, job: Job) -> Outcome:
    """Refuses a snapshot that nothing sound can be learned from, and says which check it failed."""
    frame = snapshot_of(yard, job)
    checks = data_checks(frame, job.declaration)
    failed = [one for one in checks if not one["passed"]]
    facts: Facts = {"checks": checks, "ok": not failed}
    if failed:
        return Stopped(
            state=DeliveryState.REFUSED, reason=f"{failed[0]['name']}: {failed[0]['got']}, expected {failed[0]['expected']}", facts=facts
        )
    return Done(facts=facts)


def data_checks(frame: pl.DataFrame, declaration: ModelDeclaration, cut: Cut = split) -> list[Facts]:
    """Each check with what was got and what was expected, of rows that `cut` parts into those to learn from and those to test on."""
    train, test = cut(frame, declaration)
    later, sides = ("", ("in training", "in test")) if declaration.as_of is None else ("later ", ("before", "after"))
    checks = [
        _check("enough rows", frame.height, f"at least {FEWEST_ROWS}", passed=frame.height >= FEWEST_ROWS),
        _check(f"enough {later}rows to test on", test.height, f"at least {FEWEST_TEST_ROWS}", passed=test.height >= FEWEST_TEST_ROWS),
    ]
    if declaration.task == "binary":
        for name, part in (("training", train), ("test", test)):
            kinds = sorted(part[declaration.label].cast(pl.Float64).unique().to_list())
            checks.append(_check(f"both outcomes in the {name} rows", kinds, "0 and 1", passed=kinds == [0.0, 1.0]))
    for name in declaration.inputs:
        shares = [part[name].null_count() / max(part.height, 1) for part in (train, test)]
        got = f"{shares[0]:.1%} {sides[0]}, {shares[1]:.1%} {sides[1]}"
        passed = shares[0] < 1.0 and shares[1] - shares[0] <= MOST_MISSING_RISE
        checks.append(_check(f"{name} is there", got, f"no rise above {MOST_MISSING_RISE:.0%}", passed=passed))
    return checks


def _check(name: str, got: object, expected: str, *, passed: bool) -> Facts:
    return {"name": name, "got": got, "expected": expected, "passed": passed}
