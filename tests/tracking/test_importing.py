"""Runs and experiments that are brought in: whose they may become, and what a caller other than our own sends."""

import msgspec
import numpy as np
import pytest

from modelyard.access.domain import Principal
from modelyard.core.clock import Instant
from modelyard.storage.database import Database, Snapshot
from modelyard.tracking import service
from modelyard.tracking.domain import ExperimentId, LoggedModelId, Metric, NewRun, RunId, RunStatus, SeriesId
from modelyard.tracking.imports import ExperimentHere, ImportedExperiment, ImportedRun, PackedSeries, SourceName, TakenHere
from modelyard.tracking.rules.series import Points, packed, packed_points
from modelyard.tracking.service import importing
from modelyard.tracking.store import series
from tests.tracking.conftest import STRANGER, WRITER

SOURCE = SourceName("https://mlflow.example.com")
LOSS = PackedSeries(key="loss", points=packed([Metric(key="loss", value=0.5, at=Instant(1), step=0)]))


def bring(database: Database, who: Principal, name: str = "flights") -> ExperimentHere:
    one = ImportedExperiment(id="7", name=name, created_at=Instant(1), updated_at=Instant(2))
    return database.write(lambda tx: service.import_experiments(tx, who, SOURCE, (one,)))[0]


def run_in(experiment: ExperimentId, run_id: str = "a" * 32) -> ImportedRun:
    return ImportedRun(
        id=RunId(run_id), experiment_id=experiment, name="x", user="ann", status=RunStatus.FINISHED, started_at=Instant(1), series=(LOSS,)
    )


def test_what_another_team_brought_from_the_same_source_is_theirs(database: Database) -> None:
    home = bring(database, WRITER).our_id
    assert service.import_runs(database, WRITER, SOURCE, (run_in(home),)) == []
    for name in ("flights", "another"):
        with pytest.raises(TakenHere):
            bring(database, STRANGER, name)
    (refused,) = service.import_runs(database, STRANGER, SOURCE, (run_in(home),))
    assert refused.code == "no_such_experiment"


def test_a_run_that_was_made_here_is_never_touched(database: Database) -> None:
    home = bring(database, WRITER).our_id
    made = database.write(lambda tx: service.create_run(tx, WRITER, NewRun(experiment_id=home, name="mine"))).facts
    (refused,) = service.import_runs(database, WRITER, SOURCE, (run_in(home, made.id),))
    with database.read() as snapshot:
        assert (refused.code, service.get_run(snapshot, WRITER, made.id).facts) == ("taken_here", made)


def test_what_comes_twice_in_one_request_is_refused(database: Database) -> None:
    one = run_in(bring(database, WRITER).our_id)
    (twice,) = service.import_runs(database, WRITER, SOURCE, (one, one))
    (metric,) = service.import_runs(database, WRITER, SOURCE, (msgspec.structs.replace(one, series=(LOSS, LOSS)),))
    (odd,) = service.import_runs(database, WRITER, SOURCE, (msgspec.structs.replace(one, model_inputs=(LoggedModelId("m-\0"),)),))
    assert [found.code for found in (twice, metric, odd)] == ["invalid_input"] * 3
    with database.read() as snapshot:
        assert service.get_history(snapshot, WRITER, one.id, "loss").values == [0.5]


def piece(first: int, last: int) -> PackedSeries:
    steps = np.arange(first, last)
    return PackedSeries(key="loss", points=packed_points(Points(steps, steps, steps.astype(np.float64))))


def test_a_long_series_comes_piece_by_piece_without_its_beginning_being_read_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, read = run_in(bring(database, WRITER).our_id), list[int]()
    load = series.load_between

    def noted(snapshot: Snapshot, series_id: SeriesId, first: int, last: int) -> Points:
        read.append(first)
        return load(snapshot, series_id, first, last)

    monkeypatch.setattr(series, "load_between", noted)
    for first in (0, 10, 20):  # each lies behind what is here
        assert service.import_runs(database, WRITER, SOURCE, (msgspec.structs.replace(one, series=(piece(first, first + 10),)),)) == []
    assert read == []
    for first, last in ((0, 10), (25, 35)):  # a piece that came before, and one that overlaps
        service.import_runs(database, WRITER, SOURCE, (msgspec.structs.replace(one, series=(piece(first, last),)),))
    assert read == [0, 25]
    with database.read() as snapshot:
        assert service.get_history(snapshot, WRITER, one.id, "loss").values == [float(n) for n in range(35)]
        assert [row.facts.points for row in series.list_series(snapshot, one.id)] == [35]


def test_points_that_came_after_the_comparison_are_not_doubled(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    one = msgspec.structs.replace(run_in(bring(database, WRITER).our_id), series=(piece(0, 10),))
    compared = importing._compared

    def outrun(*asked: object) -> object:
        found = compared(*asked)  # type: ignore[arg-type]  # as it was called
        with monkeypatch.context() as plain:
            plain.setattr(importing, "_compared", compared)
            service.import_runs(database, WRITER, SOURCE, (one,))
        return found

    monkeypatch.setattr(importing, "_compared", outrun)
    assert service.import_runs(database, WRITER, SOURCE, (one,)) == []
    with database.read() as snapshot:
        assert [row.facts.points for row in series.list_series(snapshot, one.id)] == [10]
