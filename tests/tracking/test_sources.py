"""Batches of spools: taken in once, in order, whole or not at all."""

from typing import Any

import pytest

from modelyard.core.clock import Instant
from modelyard.core.digests import digest_bytes
from modelyard.core.errors import InvalidInput, NotFound
from modelyard.core.ids import hex_id
from modelyard.storage.blobs import Blobs
from modelyard.storage.database import Database
from modelyard.tracking import service
from modelyard.tracking.domain import (
    DATASET_CONTEXT_TAG,
    Asked,
    Dataset,
    DatasetInput,
    Metric,
    NotActive,
    ParamIsSet,
    Run,
    RunId,
    RunStatus,
)
from modelyard.tracking.rules.series import packed
from modelyard.tracking.spooled import (
    ContentMissing,
    Ended,
    File,
    Input,
    Points,
    Record,
    Resumed,
    RunExists,
    SpooledBatch,
    Started,
    Taken,
    Texts,
    new_source_id,
)
from tests.tracking.conftest import STRANGER, WRITER

NEW, KNOWN = Taken(is_new=True), Taken(is_new=False)
STARTED = Started(name="swift-heron", started_at=Instant(5), experiment="flights", tags={"why": "test"})


class Spool:
    """A spool of the writer's and the server's end of it."""

    def __init__(self, database: Database, run: str = "", who: Any = WRITER) -> None:
        self.database, self.run, self.source, self.who = database, RunId(run or hex_id()), new_source_id(), who

    def send(self, sequence: int, record: Record) -> Taken:
        return service.deliver_batch(self.database, self.who, self.run, self.source, sequence, SpooledBatch(record=record))

    def found(self) -> Run:
        with self.database.read() as snapshot:
            return service.get_run(snapshot, WRITER, self.run)

    def values(self, key: str) -> list[float | None]:
        with self.database.read() as snapshot:
            return service.get_history(snapshot, WRITER, self.run, key).values


def points(*values: float, key: str = "loss") -> Points:
    """Points of one metric, their steps and instants from 0 on."""
    return Points(series=((key, packed([Metric(key=key, value=value, at=Instant(n), step=n) for n, value in enumerate(values)])),))


@pytest.fixture
def spool(database: Database) -> Spool:
    made = Spool(database)
    assert made.send(1, STARTED) == NEW
    return made


def test_a_run_begins_under_its_clients_id_in_an_experiment_that_is_made(spool: Spool) -> None:
    facts = spool.found().facts
    assert (facts.name, facts.started_at, facts.status, facts.created_by) == ("swift-heron", 5, "RUNNING", WRITER.id)
    other = Spool(spool.database)
    other.send(1, STARTED)
    assert other.found().facts.experiment_id == facts.experiment_id != "0"
    with spool.database.read() as snapshot:
        asked = Asked(filter="tags.why = 'test'")
        assert len(service.search_runs(snapshot, WRITER, (facts.experiment_id,), asked).runs) == 2


def test_a_run_without_an_experiment_is_in_the_one_that_is_always_there(database: Database) -> None:
    spool = Spool(database)
    spool.send(1, Started(name="swift-heron", started_at=Instant(5)))
    assert spool.found().facts.experiment_id == "0"


def test_a_batch_that_comes_again_is_answered_and_not_logged_again(spool: Spool) -> None:
    assert spool.send(2, points(0.5, 0.25)) == NEW
    assert [spool.send(1, STARTED), spool.send(2, points(7.0))] == [KNOWN, KNOWN]
    assert (spool.values("loss"), spool.found().metrics[0].points) == ([0.5, 0.25], 2)


def test_a_batch_that_is_refused_leaves_nothing_and_may_be_passed_over(spool: Spool) -> None:
    spool.send(2, Texts(params={"depth": "6"}))
    with pytest.raises(ParamIsSet):
        spool.send(3, Texts(params={"depth": "7", "rate": "0.1"}))
    assert spool.found().params == {"depth": "6"}
    assert spool.send(4, points(1.0)) == NEW
    assert spool.send(3, Texts(params={"rate": "0.1"})) == KNOWN
    assert spool.found().params == {"depth": "6"}


def test_two_sources_log_to_one_run_and_neither_begins_it_again(spool: Spool) -> None:
    second = Spool(spool.database, spool.run)
    with pytest.raises(RunExists):
        second.send(1, STARTED)
    spool.send(2, Ended(status=RunStatus.KILLED, at=Instant(9)))
    assert second.send(1, Resumed(at=Instant(10))) == NEW
    facts = spool.found().facts
    assert (facts.status, facts.ended_at) == ("RUNNING", None)
    assert second.send(2, points(2.0)) == NEW


def test_the_owed_end_of_a_killed_process_does_not_end_a_run_that_was_taken_up(spool: Spool) -> None:
    second = Spool(spool.database, spool.run)
    second.send(1, Resumed(at=Instant(10)))
    assert spool.send(2, points(1.0)) == NEW
    assert spool.send(3, Ended(status=RunStatus.KILLED, at=Instant(9), is_owed=True)) == NEW
    assert spool.found().facts.status == "RUNNING"
    assert second.send(2, Ended(status=RunStatus.KILLED, at=Instant(12), is_owed=True)) == NEW
    assert (spool.found().facts.status, spool.found().facts.ended_at) == ("KILLED", 12)


def test_a_source_has_one_run(spool: Spool) -> None:
    other = Spool(spool.database)
    other.send(1, STARTED)
    other.source = spool.source
    with pytest.raises(InvalidInput, match="another run"):
        other.send(2, points(1.0))


def test_the_end_puts_the_runs_content_into_the_ledger(spool: Spool) -> None:
    spool.send(2, points(*map(float, range(1500))))
    spool.send(3, Ended(status=RunStatus.FAILED, at=Instant(77)))
    facts = spool.found().facts
    assert (facts.status, facts.ended_at) == ("FAILED", 77)
    with spool.database.read() as snapshot:
        assert service.current_digest(snapshot, WRITER, spool.run) == facts.content_digest


def test_a_training_set_is_an_input_and_what_the_run_was_made_of(spool: Spool) -> None:
    digest = digest_bytes(b"rows")
    dataset = Dataset(name="flights", digest=digest, source_type="local", source='{"uri":"flights.parquet"}')
    spool.send(2, Input(dataset=DatasetInput(dataset=dataset, tags={DATASET_CONTEXT_TAG: "training"})))
    run = spool.found()
    assert (run.datasets[0].dataset, run.facts.snapshot_digest) == (dataset, digest)


def test_a_file_is_named_only_where_its_content_came_to_this_run(spool: Spool, blobs: Blobs) -> None:
    other = Spool(spool.database)
    other.send(1, STARTED)
    kept = service.store_file(spool.database, blobs, WRITER, (other.run, "secret.bin"), b"another run's")
    file = File(path="mine.bin", digest=kept.digest, size_bytes=kept.size_bytes)
    with pytest.raises(ContentMissing):
        spool.send(2, file)
    service.store_file(spool.database, blobs, WRITER, (spool.run, "mine.bin"), b"another run's")
    assert [spool.send(2, file), spool.send(2, file)] == [NEW, KNOWN]


def test_a_binned_run_takes_nothing_more_and_strangers_find_none(spool: Spool) -> None:
    stranger = Spool(spool.database, spool.run, STRANGER)
    with pytest.raises(NotFound):
        stranger.send(1, points(1.0))
    spool.database.write(lambda tx: service.delete_run(tx, WRITER, spool.run))
    with pytest.raises(NotActive):
        spool.send(2, points(1.0))
    assert spool.send(1, STARTED) == KNOWN


HOSTILE = (
    Points(series=(("loss", b"x" * 25),)),
    Points(series=(("loss", b"\0" * 24 * 4001),)),
    Points(series=(("../loss", b"\0" * 24),)),
    Points(series=(("loss", b"\xff" * 24),)),
    Texts(params={"a": "x\0y"}),
    Texts(params={f"p{n}": "" for n in range(101)}),
)


def test_what_breaks_the_limits_is_refused(spool: Spool) -> None:
    for record in HOSTILE:
        with pytest.raises(InvalidInput):
            spool.send(2, record)
    for source in ("src_1", "../etc", "src_" + "G" * 32):
        spool.source = source  # type: ignore[assignment]  # hostile
        with pytest.raises(InvalidInput):
            spool.send(2, points(1.0))
    assert (spool.found().metrics, spool.found().params) == ((), {})


def test_infinity_and_nan_are_kept_as_mlflows_interface_keeps_them(spool: Spool) -> None:
    spool.send(2, points(float("inf"), float("nan"), key="wild"))
    assert spool.values("wild") == [1.7976931348623157e308, None]
