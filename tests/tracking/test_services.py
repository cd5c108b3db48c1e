"""Use cases on both databases: who may what, what is recorded, what a batch does and does not do."""

from collections.abc import Callable
from typing import Any

import pytest

from modelyard.access.domain import DEFAULT_TEAM, NotAllowed, Principal
from modelyard.core.clock import FixedClock, Instant
from modelyard.core.digests import Digest
from modelyard.core.errors import InvalidInput, ModelyardError
from modelyard.ledger.domain import Event
from modelyard.ledger.service import list_events, sequence_pending
from modelyard.storage.blobs import Blobs
from modelyard.storage.database import Database, Snapshot, Transaction
from modelyard.tracking import service
from modelyard.tracking.domain import (
    Batch,
    Dataset,
    DatasetInput,
    ExperimentExists,
    ExperimentId,
    ExperimentNotActive,
    Metric,
    ModelOutput,
    ModelStatus,
    NewRun,
    NoSuchArtifact,
    NoSuchExperiment,
    NoSuchModel,
    NoSuchRun,
    NoSuchTag,
    NotActive,
    ParamIsSet,
    Run,
    RunChange,
    RunId,
    RunStatus,
)
from tests.tracking.conftest import OTHER_TEAM, READER, STRANGER, WRITER

DEFAULT = ExperimentId("0")
DIGEST = Digest("sha256:" + "1" * 64)
OTHER_DIGEST = Digest("sha256:" + "2" * 64)


def point(key: str, value: float, step: int = 0, at: int = 1000, **more: Any) -> Metric:
    """A metric's point."""
    return Metric(key=key, value=value, step=step, at=Instant(at), **more)


@pytest.fixture
def run(database: Database) -> RunId:
    """A run of the writer's."""
    database.write(service.ensure_default)
    return database.write(lambda tx: service.create_run(tx, WRITER, NewRun(experiment_id=DEFAULT))).facts.id


def read(database: Database, function: Callable[..., Any], *given: Any, by: Principal = WRITER) -> Any:
    """What a reading service answers."""
    with database.read() as snapshot:
        return function(snapshot, by, *given)


def write(database: Database, function: Callable[..., Any], *given: Any, by: Principal = WRITER) -> Any:
    """What a writing service answers."""
    return database.write(lambda tx: function(tx, by, *given))


def log(database: Database, run: RunId, by: Principal = WRITER, **batch: Any) -> None:
    """Logs a batch."""
    write(database, service.log_batch, Batch(run_id=run, **batch), by=by)


def events(database: Database) -> list[Event]:
    """What the ledger holds."""
    sequence_pending(database, "tests")
    with database.read() as snapshot:
        return list_events(snapshot, -1, limit=1000)


def test_an_experiments_name_is_one_of_a_kind_and_its_changes_are_recorded(database: Database) -> None:
    made = write(database, service.create_experiment, service.NewExperiment(name="e", tags={"a": "b"}))
    with pytest.raises(ExperimentExists, match=r"Experiment\(name=e\) already exists"):
        write(database, service.create_experiment, service.NewExperiment(name="e"))
    write(database, service.rename_experiment, made.id, "f")
    write(database, service.delete_experiment, made.id)
    with pytest.raises(ExperimentNotActive):
        write(database, service.rename_experiment, made.id, "g")
    with pytest.raises(NoSuchExperiment):
        write(database, service.delete_experiment, made.id)
    write(database, service.restore_experiment, made.id)
    found = read(database, service.get_experiment, made.id)
    assert (found.name, found.tags, found.lifecycle, found.team_id) == ("f", {"a": "b"}, "active", DEFAULT_TEAM)
    assert [one.type.partition("_")[2] for one in events(database)] == ["created", "renamed", "deleted", "restored"]


def test_a_new_name_that_is_taken_is_refused(database: Database) -> None:
    one, _ = (write(database, service.create_experiment, service.NewExperiment(name=name)) for name in ("one", "two"))
    with pytest.raises(ExperimentExists):
        write(database, service.rename_experiment, one.id, "two")
    assert write(database, service.rename_experiment, one.id, "one").name == "one"


def test_an_experiment_belongs_to_the_team_that_its_maker_writes_in(database: Database) -> None:
    assert write(database, service.create_experiment, service.NewExperiment(name="theirs"), by=STRANGER).team_id == OTHER_TEAM
    with pytest.raises(NotAllowed):
        write(database, service.create_experiment, service.NewExperiment(name="x"), by=READER)
    with pytest.raises(NotAllowed):
        write(database, service.create_experiment, service.NewExperiment(name="x", team_id=DEFAULT_TEAM), by=STRANGER)


def test_experiment_tags_change_and_go(database: Database) -> None:
    made = write(database, service.create_experiment, service.NewExperiment(name="e"))
    for value in ("1", "2"):
        write(database, service.set_experiment_tag, made.id, "k", value)
    assert read(database, service.get_experiment, made.id).tags == {"k": "2"}
    write(database, service.delete_experiment_tag, made.id, "k")
    with pytest.raises(NoSuchTag):
        write(database, service.delete_experiment_tag, made.id, "k")


def test_a_run_starts_with_a_name_and_the_time(database: Database, run: RunId, clock: FixedClock) -> None:
    found: Run = read(database, service.get_run, run)
    assert found.facts.name
    assert found.tags == {"mlflow.runName": found.facts.name}
    assert found.facts.started_at == clock.now()
    assert found.facts.artifact_uri == f"mlflow-artifacts:/0/{run}/artifacts"
    assert found.facts.created_by == WRITER.id


def test_a_batch_is_logged_whole(database: Database, run: RunId) -> None:
    metrics = (point("loss", 3.0, 1), point("loss", 1.0, 2), point("loss", 2.0, 2), point("nan", float("nan")))
    log(database, run, metrics=metrics, params=(("p", "1"),), tags=(("t", "x"), ("mlflow.runName", "renamed")))
    found: Run = read(database, service.get_run, run)
    assert {one.key: (one.value, one.step, one.points) for one in found.metrics} == {"loss": (2.0, 2, 3), "nan": (None, 0, 1)}
    assert found.params == {"p": "1"}
    assert found.tags == {"t": "x", "mlflow.runName": "renamed"}
    assert found.facts.name == "renamed"


def test_a_param_keeps_its_value_and_a_refused_batch_leaves_nothing(database: Database, run: RunId) -> None:
    log(database, run, params=(("p", "1"),))
    log(database, run, params=(("p", "1"), ("q", "2")))
    with pytest.raises(ParamIsSet, match="Changing param values is not allowed"):
        log(database, run, params=(("p", "2"), ("r", "3")), metrics=(point("m", 1.0),), tags=(("t", "x"),))
    found: Run = read(database, service.get_run, run)
    assert found.params == {"p": "1", "q": "2"}
    assert found.metrics == ()
    assert "t" not in found.tags


def test_batches_in_one_go_meet_their_own_fates(database: Database, run: RunId) -> None:
    def item(by: Principal = WRITER, run_id: RunId = run, **batch: Any) -> service.Item:
        return service.Item(by, service.checked_batch(Batch(run_id=run_id, **batch)))

    items = [
        item(params=(("p", "1"),)),
        item(params=(("p", "2"),), metrics=(point("m", 1.0),)),
        item(run_id=RunId("f" * 32)),
        item(by=READER, tags=(("t", "x"),)),
        item(by=STRANGER, tags=(("t", "x"),)),
        item(metrics=(point("m", 2.0),), tags=(("t", "last"),)),
        item(tags=(("t", "wins"),)),
    ]
    errors = database.write(lambda tx: service.log_batches(tx, items))
    kinds: list[type[ModelyardError] | None] = [None, ParamIsSet, NoSuchRun, NotAllowed, NoSuchRun, None, None]
    assert [None if one is None else type(one) for one in errors] == kinds
    found: Run = read(database, service.get_run, run)
    assert (found.params["p"], found.tags["t"], found.metrics[0].value, found.metrics[0].points) == ("1", "wins", 2.0, 1)


def test_what_a_run_was_made_of_is_set_once(database: Database, run: RunId) -> None:
    tags = service.digest_tags(source=DIGEST, environment=DIGEST, snapshot=DIGEST)
    log(database, run, tags=tags)
    log(database, run, tags=tags)
    with pytest.raises(ParamIsSet):
        log(database, run, tags=service.digest_tags(source=OTHER_DIGEST))
    with pytest.raises(ParamIsSet):
        write(database, service.delete_tag, run, "modelyard.source_digest")
    with pytest.raises(InvalidInput, match="holds a digest"):
        log(database, run, tags=(("modelyard.source_digest", "x"),))
    assert read(database, service.get_run_facts, run).snapshot_digest == DIGEST
    assert [one.id for one in read(database, service.list_runs_of, DIGEST)] == [run]
    assert read(database, service.list_runs_of, DIGEST, by=STRANGER) == []


def test_an_ended_run_has_the_digest_that_the_ledger_holds(database: Database, run: RunId) -> None:
    log(database, run, metrics=(point("m", 1.0, 1), point("m", 2.0, 2)), params=(("p", "1"),))
    ended = write(database, service.finish_run, run)
    assert ended.content_digest == read(database, service.current_digest, run)
    entry = events(database)[-1]
    assert (entry.type, entry.subject, entry.digest, entry.actor) == ("tracking.run_ended", f"run:{run}", ended.content_digest, WRITER.id)
    # The same points again, in another order and with repetition, are the same content; another point is not.
    log(database, run, metrics=(point("m", 2.0, 2), point("m", 1.0, 1)))
    assert read(database, service.current_digest, run) == ended.content_digest
    log(database, run, metrics=(point("m", 3.0, 3),))
    assert read(database, service.current_digest, run) != ended.content_digest


@pytest.mark.parametrize(("params", "tags"), [((("p2", "1"),), ()), ((), (("t", "1"),))])
def test_a_runs_digest_changes_with_each_param_and_tag(
    database: Database, run: RunId, params: tuple[tuple[str, str], ...], tags: tuple[tuple[str, str], ...]
) -> None:
    log(database, run, params=(("p", "1"),))
    before = write(database, service.finish_run, run).content_digest
    log(database, run, params=params, tags=tags)
    after = read(database, service.current_digest, run)
    assert before != after
    log(database, run, params=params, tags=tags)
    assert read(database, service.current_digest, run) == after


def test_digests_computed_before_the_end_change_nothing(database: Database, run: RunId) -> None:
    log(database, run, metrics=tuple(point("m", float(n), n) for n in range(1000)))
    known = read(database, service.long_series_digests, run)
    assert len(known) == 1
    log(database, run, metrics=(point("m", -1.0, 1000),))
    change = RunChange(status=RunStatus.FINISHED, ended_at=Instant(5))
    assert write(database, service.update_run, run, change, known).content_digest == read(database, service.current_digest, run)


def test_a_run_in_the_bin_is_not_written_to(database: Database, run: RunId) -> None:
    write(database, service.delete_run, run)
    for call in (
        lambda: log(database, run, tags=(("t", "x"),)),
        lambda: write(database, service.update_run, run, RunChange(name="x")),
        lambda: write(database, service.log_outputs, run, []),
        lambda: write(database, service.put_file, run, "x", service.Content(digest=DIGEST, size_bytes=1)),
    ):
        with pytest.raises(NotActive):
            call()
    write(database, service.restore_run, run)
    log(database, run, tags=(("t", "x"),))


READS: list[Callable[[Snapshot, Principal, RunId], Any]] = [
    service.get_run,
    service.curves,
    service.list_run_files,
    lambda s, p, run: service.find_file(s, p, run, "a"),
    lambda s, p, run: service.get_proxied(s, p, f"0/{run}/artifacts/a"),
]
WRITES: list[Callable[[Transaction, Principal, RunId], Any]] = [
    lambda tx, p, run: service.log_batch(tx, p, Batch(run_id=run, tags=(("t", "x"),))),
    service.delete_run,
    service.finish_run,
    lambda tx, p, run: service.delete_tag(tx, p, run, "t"),
    lambda tx, p, run: service.log_inputs(tx, p, run),
    lambda tx, p, run: service.put_file(tx, p, run, "a", service.Content(digest=DIGEST, size_bytes=1)),
    lambda tx, p, run: service.delete_files(tx, p, run, "a"),
    lambda tx, p, run: service.append_to_tag(tx, p, run, "t", 1),
]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_stranger_sees_no_run_and_a_reader_changes_none(database: Database, run: RunId) -> None:
    write(database, service.put_file, run, "a", service.Content(digest=DIGEST, size_bytes=1))
    for reading in READS:
        read(database, reading, run, by=READER)
        with pytest.raises(NoSuchRun):
            read(database, reading, run, by=STRANGER)
    assert read(database, service.histories, [run], "m", by=STRANGER) == {}
    assert read(database, service.samples, [run], "m", service.Window(most=9), by=STRANGER) == {}
    for writing in WRITES:
        with pytest.raises(NotAllowed):
            write(database, writing, run, by=READER)
        with pytest.raises(NoSuchRun):
            write(database, writing, run, by=STRANGER)


def test_datasets_are_noted_once(database: Database, run: RunId) -> None:
    one = DatasetInput(dataset=Dataset(name="d", digest="1", source_type="s", source="x"), tags={"mlflow.data.context": "train"})
    again = DatasetInput(dataset=Dataset(name="d", digest="1", source_type="s", source="other"))
    write(database, service.log_inputs, run, [one, one], ["m-1"])
    write(database, service.log_inputs, run, [again])
    found: Run = read(database, service.get_run, run)
    assert found.datasets == (one,)
    assert found.model_inputs == ("m-1",)
    assert read(database, service.list_datasets, (DEFAULT,)) == [("0", "d", "1", "train")]


def test_points_of_every_batch_are_kept_and_merging_loses_none(database: Database, run: RunId) -> None:
    for n in range(70):
        log(database, run, metrics=(point("m", float(n % 7), n // 2, at=1000 * n),))
    before = read(database, service.metric_history, (run, "m")).points
    assert len(before.at) == 70
    assert service.tick(database) == 69
    assert service.tick(database) == 0
    log(database, run, metrics=(point("m", 9.0, 99, at=10**9),))
    after = read(database, service.metric_history, (run, "m")).points
    assert after.at.tolist() == [*before.at.tolist(), 10**9]
    assert after.value.tolist() == [*before.value.tolist(), 9.0]


def test_a_history_comes_page_by_page(database: Database, run: RunId) -> None:
    log(database, run, metrics=tuple(point("m", float(n), n, at=1000 * n) for n in range(25)))
    values: list[float] = []
    token, pages = "", 0
    while True:
        page = read(database, service.metric_history, (run, "m"), 10, token)
        values += page.points.value.tolist()
        pages += 1
        token = page.next
        if not token:
            break
    assert (values, pages) == ([float(n) for n in range(25)], 3)
    with pytest.raises(InvalidInput):
        read(database, service.metric_history, (run, "m"), 0)


def test_files_are_kept_by_content_and_listed_by_folder(database: Database, blobs: Blobs, run: RunId) -> None:
    stored = service.store_file(database, blobs, WRITER, (run, "a/b.txt"), b"hello")
    assert blobs.get_bytes(stored.digest) == b"hello"
    service.store_file(database, blobs, WRITER, (run, "a/b.txt"), b"again")
    service.store_file(database, blobs, WRITER, (run, "a0"), b"hello")
    assert [(one.path, one.is_folder) for one in read(database, service.list_files, run)] == [("a", True), ("a0", False)]
    assert read(database, service.find_file, run, "a/b.txt").size_bytes == 5
    assert write(database, service.delete_files, run, "a") == ["a/b.txt"]
    with pytest.raises(NoSuchArtifact):
        read(database, service.find_file, run, "a/b.txt")
    assert [one.path for one in read(database, service.list_all_files, run)] == ["a0"]


def test_a_path_of_another_experiment_is_not_the_runs(database: Database, run: RunId) -> None:
    with pytest.raises(NoSuchArtifact):
        read(database, service.get_proxied, f"1/{run}/artifacts/a")


def test_a_logged_model_has_its_life(database: Database, run: RunId) -> None:
    new = service.NewModel(experiment_id=DEFAULT, name="m", source_run_id=run, params={"a": "1"}, tags={"t": "x"})
    model = write(database, service.create_model, new)
    write(database, service.put_file, model.id, "MLmodel", service.Content(digest=DIGEST, size_bytes=1))
    log(database, run, metrics=(point("acc", 0.9, model_id=model.id, dataset_name="d", dataset_digest="1"),))
    ready = write(database, service.finalize_model, model.id, ModelStatus.READY)
    assert events(database)[-1].digest == ready.content_digest
    write(database, service.set_model_tags, model.id, {"t": "y"})
    write(database, service.log_model_params, model.id, {"b": "2", "a": "1"})
    with pytest.raises(ParamIsSet):
        write(database, service.log_model_params, model.id, {"c": "3", "a": "other"})
    found = read(database, service.get_logged_model, model.id)
    assert (found.tags, found.params, found.status) == ({"t": "y"}, {"a": "1", "b": "2"}, ModelStatus.READY)
    assert (found.metrics[0].value, found.metrics[0].dataset_name, found.metrics[0].run_id) == (0.9, "d", run)
    write(database, service.log_outputs, run, [ModelOutput(model_id=model.id, step=3)])
    assert read(database, service.get_run, run).model_outputs == (ModelOutput(model_id=model.id, step=3),)
    write(database, service.delete_model_tag, model.id, "t")
    write(database, service.delete_model, model.id)
    with pytest.raises(NoSuchModel):
        read(database, service.get_logged_model, model.id)
    with pytest.raises(NoSuchModel):
        read(database, service.get_owner, model.id, by=STRANGER)


def test_logged_models_are_found(database: Database, run: RunId) -> None:
    models = [
        write(database, service.create_model, service.NewModel(experiment_id=DEFAULT, name=f"m{n}", params={"p": str(n)})) for n in range(4)
    ]
    for n, model in enumerate(models[:3]):
        log(database, run, metrics=(point("acc", n / 10, model_id=model.id, dataset_name="d" if n else "e"),))

    def names(text: str = "", **asked: Any) -> list[str]:
        found: list[str] = []
        token = ""
        while True:
            page = read(database, service.search_models, (DEFAULT,), service.AskedModels(filter=text, limit=2, page=token, **asked))
            found += [one.name for one in page.models]
            token = page.next
            if not token:
                return found

    by_acc = (service.ModelOrder(field_name="metrics.acc", is_ascending=False),)
    assert names(order_by=by_acc) == ["m2", "m1", "m0", "m3"]
    assert names("metrics.acc >= 0.1 AND params.p != '1'") == ["m2"]
    assert names(datasets=(service.DatasetFilter(dataset_name="d"),), order_by=by_acc) == ["m2", "m1"]
    assert names("metrics.acc >= 0", datasets=(service.DatasetFilter(dataset_name="e"),)) == ["m0"]
    assert sorted(names("name LIKE 'm%' AND creation_time >= 0")) == ["m0", "m1", "m2", "m3"]
    assert names("name IN ('m3')") == ["m3"]


@pytest.mark.parametrize("name", ["a/b", "a:b", "a.b", "a%b", "", "a'b"])
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_logged_models_name_has_mlflows_limits(database: Database, run: RunId, name: str) -> None:
    with pytest.raises(InvalidInput, match="Invalid model name"):
        write(database, service.create_model, service.NewModel(experiment_id=DEFAULT, name=name))


def test_groups_tell_values_to_the_last_bit(database: Database, run: RunId) -> None:
    for value in (5e-324, float("nan")):
        other = database.write(lambda tx: service.create_run(tx, WRITER, NewRun(experiment_id=DEFAULT))).facts.id
        log(database, other, metrics=(point("m", value),))
    log(database, run, metrics=(point("m", 0.1 + 0.2),))
    asked = service.Grouping(column="status", metrics=("m", "nobody's"))
    (group,) = read(database, service.group_runs, (DEFAULT,), asked).groups
    assert (group.value, group.runs) == ("RUNNING", 3)
    assert (group.spreads[0].least, group.spreads[0].greatest, group.spreads[0].runs) == (5e-324, 0.1 + 0.2, 2)
    assert group.spreads[1] is None
