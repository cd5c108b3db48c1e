"""Who may see and change what in tracking: the one place that looks a run, experiment or model up for a principal.

What a principal may not see is told as missing, so that ids of other teams reveal nothing.
"""

from modelyard.access.domain import DEFAULT_TEAM, EVERY_TEAM, NotAllowed, Principal, Role, TeamId
from modelyard.access.service import require
from modelyard.storage.database import Snapshot
from modelyard.tracking.domain import (
    Experiment,
    ExperimentId,
    Lifecycle,
    LoggedModel,
    LoggedModelId,
    NoSuchExperiment,
    NoSuchModel,
    NoSuchRun,
    NotActive,
    RunFacts,
    RunId,
)
from modelyard.tracking.rules.names import checked_experiment_id
from modelyard.tracking.store import experiments, models, runs
from modelyard.tracking.store.experiments import ExperimentHead


def home_team(principal: Principal) -> TeamId:
    """The team that gets what a client makes without naming one. Raises NotAllowed for a principal that may write nowhere."""
    if principal.may(Role.CONTRIBUTOR, DEFAULT_TEAM):
        return DEFAULT_TEAM
    writable = [team for team in sorted(principal.roles) if team != EVERY_TEAM and principal.may(Role.CONTRIBUTOR, team)]
    if not writable:
        raise NotAllowed(f"{principal.name} is no contributor in any team", hint="ask an admin for the role")
    return writable[0]


def get_facts(snapshot: Snapshot, principal: Principal, run_id: RunId, least: Role = Role.VIEWER) -> RunFacts:
    """A run's facts, whatever its lifecycle. Raises NoSuchRun, and NotAllowed for a principal that only sees it."""
    found = runs.find_facts(snapshot, [run_id]).get(run_id)
    if found is None or not principal.may(Role.VIEWER, found.team_id):
        raise no_run(run_id)
    require(principal, least, found.team_id)
    return found


def no_run(run_id: RunId) -> NoSuchRun:
    """The error for a run that is not there, or that the caller may not see."""
    return NoSuchRun(f"Run with id={run_id} not found", hint="the page /experiments lists those that are there")


def get_writable(snapshot: Snapshot, principal: Principal, run_id: RunId) -> RunFacts:
    """The facts of an active run that the principal may write to. Raises NoSuchRun, NotAllowed or NotActive."""
    facts = get_facts(snapshot, principal, run_id, Role.CONTRIBUTOR)
    if facts.lifecycle != Lifecycle.ACTIVE:
        raise not_active_run(facts.id, facts.lifecycle)
    return facts


def not_active_run(run_id: RunId, lifecycle: str) -> NotActive:
    """The error for writing to a run in the bin."""
    return NotActive(
        f"The run {run_id} must be in the 'active' state. Current state is {lifecycle}.", hint="restore the run, then write to it"
    )


def find_experiment(snapshot: Snapshot, principal: Principal, experiment_id: ExperimentId, least: Role = Role.VIEWER) -> Experiment:
    """An experiment, whatever its lifecycle. Raises NoSuchExperiment, and NotAllowed for a principal that only sees it."""
    checked = ExperimentId(checked_experiment_id(experiment_id))
    found = experiments.find_experiments(snapshot, [checked]).get(checked)
    if found is None or not principal.may(Role.VIEWER, found.team_id):
        raise _no_experiment(checked)
    require(principal, least, found.team_id)
    return found


def get_writable_experiment(snapshot: Snapshot, principal: Principal, experiment_id: ExperimentId) -> ExperimentHead:
    """The head of an active experiment that the principal may write to. Raises NoSuchExperiment, NotAllowed or NotActive."""
    checked = ExperimentId(checked_experiment_id(experiment_id))
    found = experiments.find_head(snapshot, checked)
    if found is None or not principal.may(Role.VIEWER, found.team_id):
        raise _no_experiment(checked)
    require(principal, Role.CONTRIBUTOR, found.team_id)
    if found.lifecycle != Lifecycle.ACTIVE:
        raise NotActive(
            f"The experiment {found.id} must be in the 'active' state. Current state is {found.lifecycle}.",
            hint="restore the experiment, then write to it",
        )
    return found


def _no_experiment(experiment_id: ExperimentId) -> NoSuchExperiment:
    return NoSuchExperiment(f"No Experiment with id={experiment_id} exists", hint="see the experiments that are there")


def visible_ids(snapshot: Snapshot, principal: Principal, ids: tuple[ExperimentId, ...]) -> list[ExperimentId]:
    """Those of the experiments that are there and that the principal sees."""
    checked = [ExperimentId(checked_experiment_id(one)) for one in ids]
    if principal.teams is None:
        return checked
    found = experiments.find_experiments(snapshot, checked)
    return [one for one in checked if one in found and principal.may(Role.VIEWER, found[one].team_id)]


def get_model(snapshot: Snapshot, principal: Principal, model_id: LoggedModelId, least: Role = Role.VIEWER) -> LoggedModel:
    """A logged model, whatever its lifecycle. Raises NoSuchModel, and NotAllowed for a principal that only sees it."""
    found = models.find_models(snapshot, [model_id]).get(model_id)
    if found is None or not principal.may(Role.VIEWER, found.team_id):
        raise no_model(model_id)
    require(principal, least, found.team_id)
    return found


def no_model(model_id: LoggedModelId) -> NoSuchModel:
    """The error for a logged model that is not there, or that the caller may not see."""
    return NoSuchModel(f"Logged model with ID '{model_id}' not found.", hint="search the models of its experiment")
