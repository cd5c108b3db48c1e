"""A small world for monitoring: a model that is served, a prediction log with its labels, and a clock that tests move."""

from typing import Any

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelyard.access.domain import DEFAULT_TEAM, SYSTEM, PrincipalId
from modelyard.core.clock import SECOND, FixedClock, Instant
from modelyard.core.digests import digest_bytes
from modelyard.core.ids import uuid7
from modelyard.features.domain import Entity, FeatureSet, FeatureView, Parquet
from modelyard.ledger.domain import Event, NewEntry
from modelyard.ledger.service import list_events, record, sequence_pending
from modelyard.monitoring.domain import Monitor, NewReference, NewWatch, Ticked
from modelyard.monitoring.service import Scored, levels_of, put_reference, reference_of, set_monitors, tick
from modelyard.registry.domain import Column, Format, ModelName, Signature
from modelyard.serving import store as serving
from modelyard.serving import tabular
from modelyard.serving.domain import Arm, Deployment, Fallback, Revision, RevisionState, ServedVersion, Traffic
from modelyard.serving.log.frames import Field, Frame, LabelFrame, Layout, PredictionFrame
from modelyard.serving.store.endpoints import EndpointRow
from modelyard.storage.database import Database, Transaction
from modelyard.storage.tables import Tables

DAY = 86_400 * SECOND
LATE = ModelName("late")
WEATHER = FeatureView("weather", Entity("origin"), Parquet("w.parquet", "at"), features={"wind": "float64"}, ttl="3h", freshness="3h")
SET = FeatureSet("late_features", [WEATHER])
SIGNATURE = Signature(inputs=(Column(name="wind", dtype="float64"), Column(name="carrier", dtype="string", categories=("AA", "UA"))))
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
    """A model `late` in a database with its log."""

    def __init__(self, database: Database, tables: Tables, clock: FixedClock, random: np.random.Generator) -> None:
        self.database, self.tables, self.clock, self.random = database, tables, clock, random
        self.segments = 0
        self.revisions = 0

    def watch(self, *monitors: Monitor) -> None:
        """Has the model watched."""
        self.database.write(lambda tx: set_monitors(tx, SYSTEM, LATE, NewWatch(monitors=monitors)))

    def train(self, version: int, *monitors: Monitor, size: int = 18_000, views: dict[str, str] | None = None) -> None:
        """Gives a version its reference: sixty days of rows, and its level on as many others."""
        rows, unseen = drawn(self.random, size), drawn(self.random, size)
        at = pl.Series(self.clock.now() - 60 * DAY + np.arange(size) * (60 * DAY // size))
        scored = Scored(scores=pl.Series(unseen.score), labels=pl.Series(unseen.label), at=at)
        frame = pl.DataFrame({"wind": rows.wind, "carrier": rows.carrier})
        content = NewReference(
            reference=reference_of(frame, ["wind", "carrier"], monitors, at=at, scored=scored),
            levels=levels_of(scored, is_binary=True),
            views={"wind": "weather"} if views is None else views,
        )
        self.database.write(lambda tx: put_reference(tx, SYSTEM, LATE, version, content))

    def release(self, version: int, *, fallback: Fallback | None = None) -> None:
        """Has a version answer from now on."""
        self.revisions += 1
        revision = Revision(
            model=LATE, number=self.revisions, team_id=DEFAULT_TEAM, traffic=Traffic(champion=version, fallback=fallback),
            cause=f"v{version}", actor=PrincipalId("system"), proposed_at=self.clock.now(),
        )  # fmt: skip
        served = ServedVersion(number=version, format=Format.LIGHTGBM, artifact=digest_bytes(b""), signature=SIGNATURE, feature_set=SET)

        def work(tx: Transaction) -> None:
            if serving.find_endpoint(tx, LATE) is None:
                serving.insert_endpoint(tx, EndpointRow(model=LATE, team_id=DEFAULT_TEAM, created_at=tx.now()))
            row = serving.find_endpoint(tx, LATE)
            assert row is not None
            serving.insert_revision(tx, Deployment(revision=revision, versions=(served,)))
            if row.live is not None:
                serving.set_state(tx, (LATE, row.live), RevisionState.SUPERSEDED, ended_at=tx.now())
            serving.set_state(tx, (LATE, revision.number), RevisionState.ACTIVE, active_at=tx.now())
            serving.update_endpoint(tx, msgspec.structs.replace(row, live=revision.number))

        self.database.write(work)

    def ask(self, rows: Drawn, *, version: int = 1, arm: Arm = Arm.CHAMPION, at: int | None = None, upto: int | None = None) -> list[str]:
        """Logs predictions for `rows` spread over the day that began at `at` (now, unless given), in one segment; their ids."""
        start = self.clock.now() if at is None else at
        layout = Layout(LATE, version, FIELDS)
        frames: list[Frame] = [layout]
        ids = [uuid7(self.clock.wall()) for _ in rows.carrier]
        for n, name in enumerate(ids):
            moment = Instant(start + n * (DAY // len(ids)))
            wind = None if np.isnan(rows.wind[n]) else float(rows.wind[n])
            columns: list[list[Any]] = [["JFK"], [rows.carrier[n]], [wind], [moment if upto is None else upto]]
            frames.append(
                PredictionFrame(layout.key, moment, self.clock.wall(), 1, arm.value, 100, name.bytes, [float(rows.score[n])], columns)
            )
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
        entry = NewEntry(type="serving.segment_compacted", subject=f"segment:{name}", actor="system")
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
