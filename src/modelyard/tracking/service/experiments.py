"""Use cases of experiments: make, rename, put into the bin and back, tag, search. Each change of state writes its entry."""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlparse

import msgspec

from modelyard.access.domain import DEFAULT_TEAM, Principal, Role, TeamId
from modelyard.access.service import require
from modelyard.core.clock import Instant
from modelyard.core.errors import InvalidInput
from modelyard.core.ids import decimal_id
from modelyard.ledger.domain import NewEntry
from modelyard.ledger.service import record
from modelyard.storage.database import Snapshot, Transaction
from modelyard.tracking.domain import (
    DEFAULT_EXPERIMENT,
    DEFAULT_EXPERIMENT_NAME,
    Asked,
    Experiment,
    ExperimentExists,
    ExperimentId,
    ExperimentNotActive,
    ExperimentPage,
    Lifecycle,
    NoSuchExperiment,
    NoSuchTag,
    View,
)
from modelyard.tracking.grammar import EXPERIMENTS, Order, parse_filter, parse_orders
from modelyard.tracking.rules.names import checked_experiment_name, checked_experiment_tag, checked_location
from modelyard.tracking.rules.paths import SCHEME
from modelyard.tracking.service.guard import find_experiment, get_writable_experiment, home_team
from modelyard.tracking.sql import fingerprint, token_of, values_of
from modelyard.tracking.store import experiments, runs
from modelyard.tracking.store.search import Search
from modelyard.tracking.store.search import search_experiments as search_rows

MOST_RESULTS = 50_000
NEWEST_FIRST = (Order(entity="attribute", key="creation_time", is_ascending=False), Order(entity="attribute", key="experiment_id"))


class NewExperiment(msgspec.Struct, frozen=True, kw_only=True):
    """What an experiment starts with. Without a team it belongs to the first one that its maker may write in."""

    name: str
    artifact_location: str = ""
    tags: dict[str, str] = {}
    team_id: TeamId | None = None


def ensure_default(tx: Transaction) -> None:
    """Makes MLflow's experiment 0 where it is missing: clients that name no experiment write to it."""
    if DEFAULT_EXPERIMENT in experiments.find_experiments(tx, [DEFAULT_EXPERIMENT]):
        return
    experiments.insert_experiment(tx, _experiment(tx, DEFAULT_EXPERIMENT, NewExperiment(name=DEFAULT_EXPERIMENT_NAME), DEFAULT_TEAM))


def create_experiment(tx: Transaction, principal: Principal, new: NewExperiment) -> Experiment:
    """A new experiment. Raises ExperimentExists, also where the one of that name is in the bin."""
    name = checked_experiment_name(new.name)
    tags = dict(checked_experiment_tag(key, value) for key, value in new.tags.items())
    team = new.team_id or home_team(principal)
    require(principal, Role.CONTRIBUTOR, team)
    checked = NewExperiment(name=name, artifact_location=_resolved(checked_location(new.artifact_location)), tags=tags)
    experiment = _experiment(tx, ExperimentId(decimal_id()), checked, team)
    if not experiments.insert_experiment(tx, experiment):
        raise ExperimentExists(
            f"Experiment(name={name}) already exists.", hint="use it, or restore it if it was deleted; names are unique in the installation"
        )
    _record(tx, principal, experiment, "created", {"name": name})
    return experiment


def _resolved(location: str) -> str:
    """A relative path as one below the server's working folder, as MLflow has it: each client would else take another place for it."""
    return str(Path.cwd() / location) if location and not urlparse(location).scheme else location


def _experiment(tx: Transaction, experiment_id: ExperimentId, new: NewExperiment, team: TeamId) -> Experiment:
    now = tx.now()
    location = new.artifact_location or f"{SCHEME}{experiment_id}"
    return Experiment(
        id=experiment_id, name=new.name, team_id=team, artifact_location=location, created_at=now, updated_at=now, tags=dict(new.tags)
    )


def get_experiment(snapshot: Snapshot, principal: Principal, experiment_id: ExperimentId) -> Experiment:
    """An experiment, whatever its lifecycle. Raises NoSuchExperiment."""
    return find_experiment(snapshot, principal, experiment_id)


def find_experiment_by_name(snapshot: Snapshot, principal: Principal, name: str) -> Experiment:
    """The experiment of that name, whatever its lifecycle. Raises NoSuchExperiment."""
    found = experiments.find_by_name(snapshot, name)
    if found is None or not principal.may(Role.VIEWER, found.team_id):
        raise NoSuchExperiment(f"Could not find experiment with name '{name}'", hint="see the experiments that are there")
    return found


def rename_experiment(tx: Transaction, principal: Principal, experiment_id: ExperimentId, name: str) -> Experiment:
    """The experiment under its new name. Raises ExperimentNotActive and ExperimentExists."""
    found = find_experiment(tx, principal, experiment_id, Role.CONTRIBUTOR)
    if found.lifecycle != Lifecycle.ACTIVE:
        raise ExperimentNotActive("Cannot rename a non-active experiment.", hint="restore it first")
    checked = checked_experiment_name(name)
    other = experiments.find_by_name(tx, checked)
    if other is not None and other.id != found.id:
        raise ExperimentExists(f"Experiment(name={checked}) already exists.", hint="choose another name")
    renamed = msgspec.structs.replace(found, name=checked, updated_at=tx.now())
    experiments.update_experiment(tx, found.id, {"name": checked, "updated_at": renamed.updated_at})
    _record(tx, principal, renamed, "renamed", {"name": checked, "was": found.name})
    return renamed


def delete_experiment(tx: Transaction, principal: Principal, experiment_id: ExperimentId) -> None:
    """Puts an experiment and its runs into the bin."""
    _move(tx, principal, experiment_id, Lifecycle.DELETED)


def restore_experiment(tx: Transaction, principal: Principal, experiment_id: ExperimentId) -> None:
    """Takes an experiment and its runs out of the bin."""
    _move(tx, principal, experiment_id, Lifecycle.ACTIVE)


def _move(tx: Transaction, principal: Principal, experiment_id: ExperimentId, to: Lifecycle) -> None:
    found = find_experiment(tx, principal, experiment_id, Role.CONTRIBUTOR)
    if found.lifecycle == to:
        raise NoSuchExperiment(f"No Experiment with id={found.id} exists", hint=f"it is {found.lifecycle} already")
    experiments.update_experiment(tx, found.id, {"lifecycle": to, "updated_at": tx.now()})
    runs.set_lifecycle_in(tx, found.id, to)
    _record(tx, principal, found, "deleted" if to == Lifecycle.DELETED else "restored", {"name": found.name})


def set_experiment_tag(tx: Transaction, principal: Principal, experiment_id: ExperimentId, key: str, value: str) -> None:
    """Sets a tag, over its old value."""
    checked = checked_experiment_tag(key, value)
    found = get_writable_experiment(tx, principal, experiment_id)
    experiments.put_tags(tx, found, dict([checked]))


def delete_experiment_tag(tx: Transaction, principal: Principal, experiment_id: ExperimentId, key: str) -> None:
    """Removes a tag. Raises NoSuchTag."""
    found = get_writable_experiment(tx, principal, experiment_id)
    if not experiments.remove_tag(tx, found.id, key):
        raise NoSuchTag(f"No tag with name: {key} in experiment with id {found.id}")


def list_experiments(  # noqa: PLR0913 - two are injected
    snapshot: Snapshot,
    principal: Principal,
    filter: str = "",  # noqa: A002 - the query parameter's word
    limit: int = 100,
    page: str = "",
    view: View = View.ACTIVE_ONLY,
) -> ExperimentPage:
    """The experiments that the filter finds, active ones unless `view` asks for others, the newest first, and the token that goes on."""
    return search_experiments(snapshot, principal, Asked(filter=filter, limit=limit, page=page, view=view))


def search_experiments(snapshot: Snapshot, principal: Principal, asked: Asked) -> ExperimentPage:
    """The experiments that the filter finds, the newest first unless the order says otherwise."""
    limit = checked_limit(asked.limit)
    orders = parse_orders(asked.order_by, EXPERIMENTS) or NEWEST_FIRST
    if any(order.entity != "attribute" for order in orders):
        raise InvalidInput("Invalid order_by entity: tag")
    mark = fingerprint(asked.filter, asked.order_by, asked.view)
    search = Search(
        comparisons=parse_filter(asked.filter, EXPERIMENTS),
        orders=orders,
        view=asked.view,
        after=values_of(asked.page, mark),
        limit=limit + 1,
    )
    found = search_rows(snapshot, principal.teams, search)
    following = token_of(mark, found[limit - 1][1]) if len(found) > limit else ""
    return ExperimentPage(experiments=tuple(one for one, _ in found[:limit]), next=following)


def checked_limit(limit: int) -> int:
    """`limit` where a page may have so many results. Raises InvalidInput."""
    if limit < 1:
        raise InvalidInput(f"Invalid value {limit} for parameter 'max_results' supplied. It must be a positive integer")
    if limit > MOST_RESULTS:
        raise InvalidInput(f"Invalid value {limit} for parameter 'max_results' supplied. It must be at most {MOST_RESULTS}")
    return limit


def count_runs(snapshot: Snapshot, found: tuple[Experiment, ...]) -> Mapping[ExperimentId, tuple[int, Instant | None]]:
    """How many active runs each experiment has, and when the latest started; those without runs are absent."""
    return experiments.count_runs(snapshot, [one.id for one in found])


def _record(tx: Transaction, principal: Principal, experiment: Experiment, what: str, data: dict[str, str]) -> None:
    entry = NewEntry(
        type=f"tracking.experiment_{what}",
        subject=f"experiment:{experiment.id}",
        actor=principal.id,
        data=data,
        team_id=experiment.team_id,
    )
    record(tx, entry)
