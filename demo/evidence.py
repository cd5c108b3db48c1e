"""What the summary says beyond the six questions: each figure from deliveries, alerts and the prediction log. Invents nothing."""

import tempfile
from pathlib import Path

import msgspec
import numpy as np
import polars as pl

from demo.installation import Place, Records
from demo.story import FAULT, FAULTY, MENDED, MODELS
from modelyard.access.domain import SYSTEM
from modelyard.core.clock import SECOND, Instant
from modelyard.delivery.domain import DeliveryDetail, DeliveryState, StageName
from modelyard.delivery.service import get_delivery, list_deliveries
from modelyard.monitoring.domain import Alert, AlertKind, PairedDifference
from modelyard.monitoring.rules.comparison import paired_difference
from modelyard.monitoring.rules.metrics import measured
from modelyard.monitoring.service import list_alerts, why_alert
from modelyard.registry.artifacts import fetch_folder
from modelyard.registry.domain import ModelName, ModelVersion
from modelyard.registry.encoding import matrix
from modelyard.registry.formats import load
from modelyard.registry.service import get_version
from modelyard.serving.domain import Arm, PredictionQuery
from modelyard.serving.service.log import read_labelled, read_predictions
from modelyard.storage.blobs import Blobs

DAY = 86_400 * SECOND
WEEK, MONTH = 7 * DAY, 30 * DAY


def deliveries(records: Records) -> list[DeliveryDetail]:
    """Every delivery with its stages, oldest first."""
    with records.database.read() as snapshot:
        return [get_delivery(snapshot, SYSTEM, one.id) for one in reversed(list_deliveries(snapshot, SYSTEM))]


def promoted(found: list[DeliveryDetail]) -> list[DeliveryDetail]:
    """The deliveries whose version took over from another one."""
    return [one for one in found if one.delivery.state is DeliveryState.DONE and one.facts(StageName.CHALLENGE).get("challenge")]


def worst_slice(detail: DeliveryDetail) -> str:
    """The slice on which the delivery's version was measured lowest."""
    slices = detail.facts(StageName.EVALUATE).get("slices") or []
    if not slices:
        return "none measured"
    worst = min(slices, key=lambda one: float(one["is"]))
    return f"{worst['column']} {worst['value']} ({worst['metric']} {worst['is']:.3f})"


def answered(records: Records) -> pl.DataFrame:
    """How many predictions the log holds, by model, version and arm, and by how many requests."""
    frames = []
    for model in MODELS:
        rows = read_predictions(records.tables, PredictionQuery(model=model, since=Instant(0), until=Instant(2**62), only=()))
        counted = rows.group_by("version", "arm").agg(pl.len().alias("predictions"), pl.col("at").n_unique().alias("requests"))
        frames.append(counted.with_columns(model=pl.lit(str(model))))
    return pl.concat(frames)


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """The stale view as the product told it, and the area under the curve before, while it was stale, under the fallback, and after."""

    view: str
    alert: str
    opened_at: Instant
    named_in_s: float
    rollback_helps: bool | None
    rollback_why: str
    before: float | None
    stale: float | None
    fallback: float | None
    restored: float | None
    fallback_answers: int
    closed_at: Instant | None


def fault(records: Records, model: ModelName) -> Fault | None:
    """What became of the fault; `None` where no alert names the view."""
    with records.database.read() as snapshot:
        alerts = list_alerts(snapshot, SYSTEM, None, None, 200)
        found = min(filter(_is_the_fault, alerts), key=lambda one: one.opened_at, default=None)
        if found is None:
            return None
        why = why_alert(snapshot, SYSTEM, found.id)
    answered, fallback = (Arm.CHAMPION, Arm.CANARY), (Arm.FALLBACK,)
    restored_at = Instant(found.closed_at or MENDED)
    served = read_predictions(records.tables, PredictionQuery(model=model, since=FAULT, until=Instant(2**62), arms=fallback, only=()))
    return Fault(
        view=found.subject,
        alert=found.id,
        opened_at=found.opened_at,
        named_in_s=(found.opened_at - FAULT) / SECOND,
        rollback_helps=why.rollback.helps,
        rollback_why=why.rollback.why,
        before=_auc(records, PredictionQuery(model=model, since=Instant(FAULT - WEEK), until=FAULT, arms=answered, only=())),
        stale=_auc(records, PredictionQuery(model=model, since=FAULT, until=restored_at, arms=answered, only=())),
        fallback=_auc(records, PredictionQuery(model=model, since=FAULT, until=restored_at, arms=fallback, only=())),
        restored=_auc(records, PredictionQuery(model=model, since=restored_at, until=Instant(restored_at + WEEK), arms=answered, only=())),
        fallback_answers=served.height,
        closed_at=found.closed_at,
    )


def _is_the_fault(alert: Alert) -> bool:
    return alert.kind is AlertKind.STALE and alert.subject == FAULTY and alert.opened_at >= FAULT


def _auc(records: Records, query: PredictionQuery) -> float | None:
    rows = read_labelled(records.tables, query)
    if rows.is_empty() or rows["label"].n_unique() < 2:
        return None
    return measured("roc_auc", rows["label"].to_numpy(), rows["value"].to_numpy()).value


class Hindsight(msgspec.Struct, frozen=True, kw_only=True):
    """A promotion in the light of the month after it: the version against the one before, on what was then asked."""

    model: ModelName
    version: int
    before: int
    found: PairedDifference

    @property
    def is_regretted(self) -> bool:
        """Whether the version before would have been better, beyond chance."""
        return self.found.high < 0


def hindsight(place: Place, records: Records, detail: DeliveryDetail) -> Hindsight | None:
    """The month after a promotion: both versions on the features as they were logged; `None` without outcomes."""
    model, number = ModelName(detail.delivery.model), detail.delivery.version
    before = int(detail.facts(StageName.CHALLENGE)["champion"]["version"])
    since = detail.delivery.ended_at
    if number is None or since is None:
        return None
    query = PredictionQuery(model=model, since=since, until=Instant(since + MONTH), arms=(Arm.CHAMPION, Arm.CANARY))
    rows = read_labelled(records.tables, query)
    if rows.is_empty() or rows["label"].n_unique() < 2:
        return None
    with records.database.read() as snapshot:
        versions = [get_version(snapshot, model, one) for one in (before, number)]
    theirs, own = (_scored(place, version, rows) for version in versions)
    found = paired_difference("roc_auc", rows["label"].to_numpy(), theirs, own)
    return Hindsight(model=model, version=number, before=before, found=found)


def _scored(place: Place, version: ModelVersion, rows: pl.DataFrame) -> np.ndarray:
    assert version.signature is not None  # delivered versions have one
    with tempfile.TemporaryDirectory(prefix="modelyard-demo-") as scratch:
        folder = Path(scratch, "model")
        fetch_folder(Blobs.open(f"file://{place.data / 'blobs'}"), version.artifact, folder)
        return load(folder).predict(matrix({name: rows[name] for name in version.signature.names}, version.signature))
