"""What shares a commit: each batch meets its own fate, even where one breaks the transaction of all, and too much is told to come back."""

import asyncio
from typing import Any

import pytest

from modelyard.access.domain import Principal
from modelyard.core.clock import Instant
from modelyard.storage.blobs import Blobs
from modelyard.storage.database import Database, DatabaseUnavailable
from modelyard.tracking import service
from modelyard.tracking.domain import Batch, ExperimentId, Metric, NewRun, ParamIsSet, RunId
from modelyard.tracking.wire.app import MOST_IN_FLIGHT, mlflow_app
from modelyard.tracking.wire.ingest import MOST_BATCHES, Ingest
from tests.tracking.conftest import WRITER


@pytest.fixture
def run(database: Database) -> RunId:
    """A run of the writer's."""
    database.write(service.ensure_default)
    return database.write(lambda tx: service.create_run(tx, WRITER, NewRun(experiment_id=ExperimentId("0")))).facts.id


def fates(database: Database, batches: list[Batch]) -> list[Any]:
    """What became of batches that came at once: None, or the error that kept each out."""

    async def logged() -> list[Any]:
        ingest = Ingest(database)
        return await asyncio.gather(*(ingest.log(service.Item(WRITER, batch)) for batch in batches), return_exceptions=True)

    return asyncio.run(logged())


def test_batches_that_come_at_once_are_all_logged_in_their_order(database: Database, run: RunId) -> None:
    count = 3 * MOST_BATCHES
    batches = [
        Batch(run_id=run, metrics=(Metric(key="m", value=float(n), at=Instant(n), step=n),), tags=(("t", str(n)),)) for n in range(count)
    ]
    assert fates(database, batches) == [None] * count
    with database.read() as snapshot:
        found = service.get_run(snapshot, WRITER, run)
        history = service.metric_history(snapshot, WRITER, (run, "m")).points
    assert (found.metrics[0].points, found.metrics[0].value, found.tags["t"]) == (count, count - 1, str(count - 1))
    assert history.step.tolist() == list(range(count))


def test_the_first_of_two_values_of_a_param_stays(database: Database, run: RunId) -> None:
    one, two, three = fates(database, [Batch(run_id=run, params=(("p", value),)) for value in ("1", "2", "1")])
    assert (one, type(two), three) == (None, ParamIsSet, None)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_database_that_is_closed_is_told_to_each_caller(database: Database, run: RunId) -> None:
    database.close()
    found = fates(database, [Batch(run_id=run, tags=(("t", "x"),)), Batch(run_id=run, tags=(("t", "y"),))])
    assert [type(one) for one in found] == [DatabaseUnavailable, DatabaseUnavailable]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_batch_that_the_database_cannot_hold_spoils_no_other(database: Database, run: RunId) -> None:
    # PostgreSQL holds no NUL. Such a text is refused long before, so this stands for whatever nobody foresaw.
    words = ["first", "a\0b", "second", "third"]
    found = fates(database, [Batch(run_id=run, params=((f"p{n}", word),)) for n, word in enumerate(words)])
    assert [one is None for one in found] == [True, False, True, True]
    with database.read() as snapshot:
        assert service.get_run(snapshot, WRITER, run).params == {"p0": "first", "p2": "second", "p3": "third"}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_more_requests_than_fit_are_told_to_come_back(database: Database, blobs: Blobs) -> None:
    async def turned_away() -> list[Any]:
        open_door = asyncio.Event()

        async def slow(_: Any) -> Principal:
            await open_door.wait()
            return WRITER

        async def receive() -> Any:
            return {"type": "http.request", "body": b""}

        sent: list[Any] = []
        scope = {"type": "http", "method": "GET", "path": "/api/2.0/mlflow/nope", "query_string": b"", "headers": []}

        async def send(message: Any) -> None:
            sent.append(message)

        app = mlflow_app(database, blobs, slow)
        waiting = [asyncio.create_task(app(scope, receive, send)) for _ in range(MOST_IN_FLIGHT)]
        await asyncio.sleep(0)
        await app(scope, receive, send)
        answer = list(sent)
        open_door.set()
        await asyncio.gather(*waiting)
        app.close()
        assert len(sent) == 2 * (MOST_IN_FLIGHT + 1)
        return answer

    start, _ = asyncio.run(turned_away())
    assert start["status"] == 429
    assert (b"retry-after", b"1") in start["headers"]
