"""A small world for monitoring: a model that is served, a prediction log with its labels, and a clock that tests move."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelyard.access.domain import SYSTEM
from modelyard.core.clock import SECOND, FixedClock, Instant, moment
from modelyard.core.ids import uuid7
from modelyard.features import service as features
from modelyard.features.domain import Entity, FeatureSet, FeatureView, Parquet
from modelyard.ledger.domain import Event, NewEntry
from modelyard.ledger.service import list_events, record, sequence_pending
from modelyard.monitoring.domain import Monitor, NewReference, NewWatch, Ticked
from modelyard.monitoring.service import Scored, levels_of, put_reference, reference_of, set_monitors, tick
from modelyard.registry import service as registry
from modelyard.registry.domain import ModelName, NewModel, NewVersion
from modelyard.serving import service as serving
from modelyard.serving import tabular
from modelyard.serving.domain import Arm, Fallback, Proposal
from modelyard.serving.log.frames import Field, Frame, LabelFrame, Layout, PredictionFrame
from modelyard.storage.database import Database
from modelyard.storage.online import LmdbStore
from modelyard.storage.tables import Tables
from tests.conftest import START
from tests.serving.control import Pretender
from tests.serving.world import World as Served

DAY = 86_400 * SECOND
AT_ONCE = 10
LATE = ModelName("late")
WEATHER = FeatureView("weather", Entity("origin"), Parquet("w.parquet", "at"), features={"wind": "float64"}, ttl="3h", freshness="6h")
SET = FeatureSet("late_features", [WEATHER])
FIELDS = (
    Field("origin", "key", "text"),
    Field("carrier", "request", "text"),
    Field("wind", "feature", "float"),
    Field("weather", "upto", "integer"),
)
Floats = NDArray[np.float64]


class Drawn(msgspec.Struct, frozen=True):
    """Rows as they might be asked for: features, what the model answers, and the truth."""

    wind: Floats
    carrier: list[str]
    score: Floats
    label: Floats


def drawn(random: np.random.Generator, size: int, *, shift: float = 0.0, skill: float = 1.0) -> Drawn:
    """Rows whose wind is off by `shift`; with `skill` 0 the answers say nothing about the truth."""
    label = (random.uniform(0, 1, size) < 0.3).astype(float)
    score = 1 / (1 + np.exp(-(skill * (1.6 * label - 0.5) + random.normal(0, 1, size) - 0.8)))
    return Drawn(random.normal(10 + shift, 3, size), random.choice(["AA", "UA"], size).tolist(), score, label)


class World:
    """A model `late` with three versions, registered and read from one view, in a database with its log."""

    def __init__(self, database: Database, folder: Path, clock: FixedClock, random: np.random.Generator) -> None:
        self.database, self.folder, self.clock, self.random = database, folder, clock, random
        self.tables = Tables.open(f"file://{folder}/tables")
        self.online = LmdbStore.open(folder / "online")
        self.gateway = Pretender(database, "g1")
        self.segments = 0
        self.is_told = True
        """Whether segments are recorded when their rows are in the tables; see `note`."""

    def register(self, served: Served) -> None:
        """Registers the model, its versions and the features that they read."""
        self.database.write(lambda tx: registry.ensure_model(tx, SYSTEM, NewModel(name=LATE)))
        self.database.write(lambda tx: features.apply_view(tx, SYSTEM, WEATHER, str(self.folder)))
        self.database.write(lambda tx: features.apply_set(tx, SYSTEM, SET))
        for number in served.versions:
            kept = registry.keep_artifact(self.database, served.blobs, served.folder / "trained" / str(number))
            new = NewVersion(artifact=kept.digest, feature_set=SET.digest)
            self.database.write(lambda tx, new=new: registry.register_version(tx, SYSTEM, LATE, new))  # type: ignore[misc] # bound now

    def watch(self, *monitors: Monitor) -> None:
        """Has the model watched."""
        self.database.write(lambda tx: set_monitors(tx, SYSTEM, LATE, NewWatch(monitors=monitors)))

    def train(self, version: int, *monitors: Monitor, size: int = 18_000, views: dict[str, str] | None = None, calm: int = 0) -> None:
        """Gives a version its reference: sixty days of rows, and its level on as many others. The first `calm` of a day have no wind."""
        rows, unseen = drawn(self.random, size), drawn(self.random, size)
        rows.wind[np.arange(size) % (size // 60) < calm] = np.nan
        at = pl.Series(self.clock.now() - 60 * DAY + np.arange(size) * (60 * DAY // size))
        scored = Scored(scores=pl.Series(unseen.score), labels=pl.Series(unseen.label), at=at)
        frame = pl.DataFrame({"wind": rows.wind, "carrier": rows.carrier})
        content = NewReference(
            reference=reference_of(frame, ["wind", "carrier"], monitors, at=at, scored=scored),
            levels=levels_of(scored, is_binary=True),
            views=views or {},
        )
        self.database.write(lambda tx: put_reference(tx, SYSTEM, LATE, version, content))

    def release(self, version: int, *, fallback: Fallback | None = None) -> None:
        """Has a version answer from now on."""
        body = Proposal(champion=version, fallback=fallback, cause=f"v{version}")
        self.database.write(lambda tx: serving.propose_revision(tx, SYSTEM, LATE, body))
        self.obey()

    def obey(self) -> None:
        """Has the gateway do what it is told."""
        for _ in range(3):
            self.gateway.beat()

    def stale_fallback(self) -> tuple[str, ...]:
        """The views for whose staleness the fallback serves."""
        self.obey()
        with self.database.read() as snapshot:
            live = serving.get_endpoint(snapshot, SYSTEM, LATE).live
        assert live is not None
        assert live.revision.traffic.fallback is not None
        return live.revision.traffic.fallback.stale

    def bring(self, *hours: int) -> None:
        """Has weather been measured at these hours from the start, and brought online as of now."""
        at = [moment(Instant(START + hour * 3600 * SECOND)) for hour in hours]
        pl.DataFrame({"origin": ["JFK"] * len(at), "at": at, "wind": [float(hour) for hour in hours]}).write_parquet(
            self.folder / "w.parquet"
        )
        features.materialize(self.database, self.online, SYSTEM)

    def ask(self, rows: Drawn, *, version: int = 1, arm: Arm = Arm.CHAMPION, at: int | None = None, upto: int | None = None) -> list[str]:
        """Logs predictions for `rows` spread over the day that began at `at` (now, unless given), in one segment; their ids."""
        start = self.clock.now() if at is None else at
        layout = Layout(LATE, version, FIELDS)
        frames: list[Frame] = [layout]
        ids = [uuid7(self.clock.wall()) for _ in rows.carrier]
        winds = [None if np.isnan(wind) else float(wind) for wind in rows.wind]
        for n in range(0, len(ids), AT_ONCE):
            part = slice(n, n + AT_ONCE)
            when = Instant(start + n * (DAY // len(ids)))
            upto_at = when if upto is None else Instant(upto)
            columns: list[list[Any]] = [["JFK"], rows.carrier[part], winds[part], [upto_at]]
            names = b"".join(name.bytes for name in ids[part])
            answers = [float(score) for score in rows.score[part]]
            frames.append(PredictionFrame(layout.key, when, self.clock.wall(), 1, arm.value, 100, names, answers, columns))
        self._append(frames)
        return [str(name) for name in ids]

    def tell(self, ids: list[str], labels: Floats, *, at: int | None = None) -> None:
        """Logs the labels of predictions, known at `at` (now, unless given), in one segment."""
        known = Instant(self.clock.now() if at is None else at)
        frame = LabelFrame(LATE, self.clock.wall(), list(ids), [None] * len(ids), [known] * len(ids), [float(label) for label in labels])
        self._append([frame])

    def _append(self, frames: list[Frame]) -> None:
        self.segments += 1
        name = f"seg_{self.segments}"
        for table, rows in ((tabular.PREDICTIONS, tabular.predictions_of(frames, name)), (tabular.LABELS, tabular.labels_of(frames, name))):
            if rows is not None:
                self.tables.append(table, rows, key=name, partition_by=["model"])
        if self.is_told:
            self.note(name)

    def note(self, segment: str) -> None:
        """Records that a segment is in the tables, as the last step of its compaction."""
        entry = NewEntry(type="serving.segment_compacted", subject=f"segment:{segment}", actor="system")
        self.database.write(lambda tx: record(tx, entry))
        sequence_pending(self.database, "tests")

    def day(self, size: int = 300, *, version: int = 1, shift: float = 0.0, skill: float = 1.0) -> Ticked:
        """Serves one day of rows, learns their labels within it, and ticks when it is over."""
        rows = drawn(self.random, size, shift=shift, skill=skill)
        ids = self.ask(rows, version=version)
        self.tell(ids, rows.label, at=self.clock.now() + DAY - 1)
        self.clock.advance(DAY / SECOND)
        return tick(self.database, self.tables)

    def events(self, kind: str) -> list[Event]:
        """The events of a type, oldest first."""
        sequence_pending(self.database, "tests")
        with self.database.read() as snapshot:
            return list_events(snapshot, -1, (kind,), 1000)
