"""Optuna's storage over our tables: Optuna's own laws for storages on both databases, its samplers and pruners, several workers."""

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import optuna
import pytest
from optuna.exceptions import UpdateFinishedTrialError
from optuna.testing.pytest_storages import StorageTestCase
from optuna.trial import TrialState

from modelyard.core.clock import SystemClock
from modelyard.storage.database import Database, Transaction
from modelyard.tuning.sampling.storage import DatabaseStorage
from modelyard.tuning.store.tables import OPTUNA_REPORTS, OPTUNA_STUDIES, OPTUNA_TRIALS
from tests.conftest import fresh_postgresql

optuna.logging.set_verbosity(optuna.logging.ERROR)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a database with every table, for all tests of this file."""
    if request.param == "sqlite":
        path: Path = tmp_path_factory.mktemp("storage") / "modelyard.db"
        shutil.copyfile(request.getfixturevalue("sqlite_template"), path)
        yield f"sqlite:///{path}"
    else:
        template = request.getfixturevalue("postgresql_template")
        yield from fresh_postgresql(request.getfixturevalue("postgresql_server"), template)


@pytest.fixture(scope="module")
def shared(address: str) -> Iterator[Database]:
    """That database under the machine's clock: Optuna's laws are about that."""
    opened = Database.open(address, SystemClock())
    yield opened
    opened.close()


@pytest.fixture
def storage(shared: Database) -> DatabaseStorage:
    """The storage, with nothing in it."""

    def emptied(tx: Transaction) -> None:
        for table in (OPTUNA_REPORTS, OPTUNA_TRIALS, OPTUNA_STUDIES):
            tx.connection.execute(table.delete())

    shared.write(emptied)
    return DatabaseStorage(shared)


class TestOptunasLaws(StorageTestCase):
    """What Optuna asks of every storage."""

    # A connection to a database does not travel as bytes: each process opens its own.
    test_pickle_storage = None  # type: ignore[assignment]  # left out


def objective(trial: optuna.Trial) -> float:
    """A valley with its floor at 0.3, of which every other trial tells bad news early."""
    x = trial.suggest_float("x", 0.0, 1.0)
    for step in range(3):
        trial.report(abs(x - 0.3) + (trial.number % 2), step)
        if trial.should_prune():
            raise optuna.TrialPruned
    return abs(x - 0.3) + trial.suggest_int("n", 0, 3)


def studied(storage: DatabaseStorage, name: str) -> optuna.Study:
    """A study by Optuna's own sampler and pruner."""
    pruner = optuna.pruners.MedianPruner(n_startup_trials=2)
    sampler = optuna.samplers.TPESampler(seed=1, n_startup_trials=5)
    study = optuna.create_study(study_name=name, storage=storage, sampler=sampler, pruner=pruner, load_if_exists=True)
    study.optimize(objective, n_trials=15)
    return study


def test_samplers_and_pruners_see_the_same_as_in_optunas_own_memory(storage: DatabaseStorage) -> None:
    ours, theirs = studied(storage, "valley"), studied(optuna.storages.InMemoryStorage(), "valley")  # type: ignore[arg-type]  # a storage too
    told = [(one.state, one.params, one.values, one.intermediate_values) for one in ours.trials]
    assert told == [(one.state, one.params, one.values, one.intermediate_values) for one in theirs.trials]
    assert TrialState.PRUNED in {one.state for one in ours.trials}


def test_workers_with_storages_of_their_own_share_one_study(address: str, storage: DatabaseStorage) -> None:
    other = Database.open(address, SystemClock())
    try:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda one: studied(one, "shared"), [storage, DatabaseStorage(other)]))
        numbers = [one.number for one in storage.get_all_trials(storage.get_study_id_from_name("shared"))]
    finally:
        other.close()
    assert numbers == list(range(30))


def test_a_trial_that_another_process_ended_takes_nothing_more(address: str, storage: DatabaseStorage) -> None:
    study = optuna.create_study(study_name="taken", storage=storage)
    trial = study.ask()
    other = Database.open(address, SystemClock())
    try:
        DatabaseStorage(other).set_trial_state_values(trial._trial_id, TrialState.FAIL)
    finally:
        other.close()
    with pytest.raises(UpdateFinishedTrialError):
        trial.suggest_float("x", 0.0, 1.0)
    with pytest.raises(UpdateFinishedTrialError):
        trial.report(1.0, 1)
