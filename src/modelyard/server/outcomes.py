"""What a run of our client left in a data folder of its own: read for a reproduction, which lies below the client. Owns the reading."""

from pathlib import Path

from modelyard.core.clock import Instant
from modelyard.core.digests import Digest
from modelyard.delivery.domain import NotReproducible
from modelyard.delivery.rebuilding.tracked import RecordedOutcome
from modelyard.sdk.tracking.leftovers import SpoolReader, list_spools
from modelyard.sdk.tracking.spool import SPOOLS
from modelyard.tracking.domain import Metric
from modelyard.tracking.rules.series import latest_of, unpacked
from modelyard.tracking.spooled import File, Points, Texts


def read_outcome(folder: Path) -> RecordedOutcome:
    """Params, latest metrics and files of the one run that was logged to the data folder `folder`. Raises NotReproducible.

    Of a command that logs several runs, the first is the one: as for the original, it is the one that holds the record.
    """
    spools = list_spools(folder / SPOOLS)
    if not spools:
        raise NotReproducible("the command logged no run when it was called again", hint="does it call modelyard.start?")
    reader = SpoolReader(spools[0])
    params: dict[str, str] = {}
    latest: dict[str, Metric] = {}
    files: dict[str, Digest] = {}
    while (batch := reader.next()) is not None:
        match batch.record:
            case Texts():
                params |= batch.record.params
            case File():
                files[batch.record.path] = batch.record.digest
            case Points():
                for key, content in batch.record.series:
                    latest[key] = _latest(key, content, latest.get(key))
        reader.mark(batch)
    return RecordedOutcome(params=params, metrics={key: one.value for key, one in latest.items()}, files=files)


def _latest(key: str, content: bytes, before: Metric | None) -> Metric:
    """The latest of a batch's points and the one before, as a server keeps it."""
    points = unpacked([content])
    columns = zip(points.value, points.at, points.step, strict=True)
    found = [Metric(key=key, value=float(value), at=Instant(int(at)), step=int(step)) for value, at, step in columns]
    latest = latest_of([*found, *([before] if before is not None else [])])
    return Metric(key=key, value=float("nan") if latest.is_nan else latest.value, at=Instant(latest.at), step=latest.step)
