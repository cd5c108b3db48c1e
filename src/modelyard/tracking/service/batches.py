"""Logging: batches of metrics, params and tags, one alone or those of many requests in one go. Owns what a batch may do.

`log_batches` is the hot path: whatever came in while the last commit was under way becomes a handful of statements.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from modelyard.access.domain import Principal, Role, TeamId
from modelyard.access.service import require
from modelyard.core.digests import Digest
from modelyard.core.errors import InvalidInput, ModelyardError
from modelyard.storage.database import Transaction
from modelyard.tracking.domain import (
    ENVIRONMENT_DIGEST_TAG,
    RUN_NAME_TAG,
    SNAPSHOT_DIGEST_TAG,
    SOURCE_DIGEST_TAG,
    Batch,
    Lifecycle,
    Metric,
    NoSuchTag,
    ParamIsSet,
    RunId,
)
from modelyard.tracking.rules.names import check_batch, check_metrics, checked_param, checked_run_id, checked_tag, checked_text
from modelyard.tracking.service.guard import get_writable, no_model, no_run, not_active_run
from modelyard.tracking.store import models, runs, series
from modelyard.tracking.store.runs import RunHead
from modelyard.tracking.store.series import Owner
from modelyard.tracking.store.tables import RUN_PARAMS, RUN_TAGS

DIGEST_TAGS = {
    SOURCE_DIGEST_TAG: "source_digest",
    ENVIRONMENT_DIGEST_TAG: "environment_digest",
    SNAPSHOT_DIGEST_TAG: "snapshot_digest",
}
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class Item(NamedTuple):
    """A checked batch, who logs it, and whether errors are about one thing rather than about a batch of things."""

    principal: Principal
    batch: Batch
    is_single: bool = False


def checked_batch(batch: Batch, *, is_single: bool = False) -> Batch:
    """`batch` within MLflow's limits, its long values cut. `is_single` says that errors name no index. Raises InvalidInput."""
    # Of a single thing MLflow looks the run up, whatever its id looks like.
    (checked_text(batch.run_id, "run_id") if is_single else checked_run_id(batch.run_id))
    check_metrics(batch.metrics, "" if is_single else "metrics[{}].")
    params = tuple(checked_param(key, value, "" if is_single else f"params[{n}].") for n, (key, value) in enumerate(batch.params))
    tags = tuple(checked_tag(key, value, "" if is_single else f"tags[{n}].") for n, (key, value) in enumerate(batch.tags))
    check_batch(len(batch.metrics), params, len(tags))
    for key, value in tags:
        if key in DIGEST_TAGS and not DIGEST.fullmatch(value):
            raise InvalidInput(f"the tag {key} holds a digest, got {value[:100]!r}", hint="write sha256: and 64 hexadecimal digits")
    return Batch(run_id=batch.run_id, metrics=batch.metrics, params=params, tags=tags)


def log_batch(tx: Transaction, principal: Principal, batch: Batch) -> None:
    """Logs a batch to a run: all of it, or nothing where it raises.

    Raises NoSuchRun, NotAllowed, NotActive, ParamIsSet where a param has another value already, and InvalidInput beyond
    the limits.
    """
    error = log_batches(tx, [Item(principal, checked_batch(batch))])[0]
    if error is not None:
        raise error


def log_batches(tx: Transaction, items: Sequence[Item]) -> list[ModelyardError | None]:
    """Logs checked batches in their order; for each the error that kept all of it out, or None.

    Where two transactions set one param at once, the later one raises ParamIsSet for the whole call: log its items one by
    one then, which tells which of them it is.
    """
    heads = runs.find_heads(tx, list({item.batch.run_id for item in items}))
    errors = [_refusal(item, heads) for item in items]
    _refuse_foreign_models(tx, items, errors)
    _refuse_changed_params(tx, items, errors)
    _refuse_changed_digests(items, heads, errors)
    kept = [item.batch for item, error in zip(items, errors, strict=True) if error is None]
    owners = {run_id: Owner(one.team_id, one.experiment_id) for run_id, one in heads.items()}
    _put_params(tx, kept, owners)
    _put_tags(tx, kept, owners)
    points: dict[series.SeriesKey, list[Metric]] = {}
    for batch in kept:
        for metric in batch.metrics:
            points.setdefault((batch.run_id, metric.key), []).append(metric)
    series.append_points(tx, points, owners)
    measured = [(batch.run_id, metric) for batch in kept for metric in batch.metrics if metric.model_id]
    models.put_model_metrics(tx, measured, owners)
    return errors


def _refusal(item: Item, heads: Mapping[RunId, RunHead]) -> ModelyardError | None:
    run = heads.get(item.batch.run_id)
    if run is None or not item.principal.may(Role.VIEWER, run.team_id):
        return no_run(item.batch.run_id)
    if run.lifecycle != Lifecycle.ACTIVE:
        return not_active_run(run.id, run.lifecycle)
    return _not_allowed(item.principal, run.team_id)


def _not_allowed(principal: Principal, team: TeamId) -> ModelyardError | None:
    """The error of a principal that may not write to the team."""
    try:
        require(principal, Role.CONTRIBUTOR, team)
    except ModelyardError as error:
        return error
    return None


def _refuse_changed_params(tx: Transaction, items: Sequence[Item], errors: list[ModelyardError | None]) -> None:
    """Notes an error for each item that sets a param to another value than it has or than an item before it gives it."""
    wanted = [item.batch for item, error in zip(items, errors, strict=True) if error is None and item.batch.params]
    if not wanted:
        return
    keys = list({key for batch in wanted for key, _ in batch.params})
    values = runs.list_texts(tx, RUN_PARAMS, list({batch.run_id for batch in wanted}), keys)
    for n, item in enumerate(items):
        if errors[n] is not None or not item.batch.params:
            continue
        known = values.setdefault(item.batch.run_id, {})
        changed = [(key, known[key], value) for key, value in item.batch.params if known.get(key, value) != value]
        if changed:
            errors[n] = _param_is_set(item.batch.run_id, changed, is_single=item.is_single)
        else:
            known.update(item.batch.params)


def _param_is_set(run_id: RunId, changed: Sequence[tuple[str, str, str]], *, is_single: bool) -> ParamIsSet:
    if is_single:
        key, old, new = changed[0]
        told = f"Param with key='{key}' was already logged with value='{old}' for run ID='{run_id}'. Attempted logging new value '{new}'."
    else:
        params = [{"key": key, "old_value": old, "new_value": new} for key, old, new in changed]
        told = f"Params were already logged='{params}' for run ID='{run_id}'."
    hint = "params keep their value; log it under another key, or start another run"
    return ParamIsSet(f"Changing param values is not allowed. {told}", hint=hint)


def _refuse_foreign_models(tx: Transaction, items: Sequence[Item], errors: list[ModelyardError | None]) -> None:
    """Notes an error for each item that measures a logged model which is not there or which its principal may not write to."""
    wanted = [sorted({metric.model_id for metric in item.batch.metrics if metric.model_id}) for item in items]
    if not any(wanted):
        return
    teams = models.find_teams(tx, list({model for some in wanted for model in some}))
    for n, item in enumerate(items):
        for model in wanted[n] if errors[n] is None else ():
            team = teams.get(model)
            if team is None or not item.principal.may(Role.VIEWER, team):
                errors[n] = no_model(model)
            else:
                errors[n] = errors[n] or _not_allowed(item.principal, team)


def _refuse_changed_digests(items: Sequence[Item], heads: Mapping[RunId, RunHead], errors: list[ModelyardError | None]) -> None:
    """Notes an error for each item that gives a run another source, environment or snapshot digest than it has."""
    given: dict[tuple[RunId, str], str] = {}
    for n, item in enumerate(items):
        for key, value in item.batch.tags if errors[n] is None else ():
            if key not in DIGEST_TAGS:
                continue
            place = (item.batch.run_id, key)
            stands: str | None = given.get(place) or getattr(heads[item.batch.run_id], DIGEST_TAGS[key])
            if stands not in (None, value):
                errors[n] = ParamIsSet(f"the tag {key} of run {item.batch.run_id} is {stands} and keeps it", hint="start another run")
                break
            given[place] = value


def _put_params(tx: Transaction, batches: Sequence[Batch], owners: Mapping[RunId, Owner]) -> None:
    fresh = {(batch.run_id, key): value for batch in batches for key, value in batch.params}
    if not fresh:
        return
    runs.put_texts(tx, RUN_PARAMS, [(run, key, value) for (run, key), value in fresh.items()], owners, overwrites=False)
    if tx.dialect == "sqlite":
        return
    # Another transaction may have set a param since it was looked at; its value won, and only now it is seen.
    stands = runs.list_texts(tx, RUN_PARAMS, list({run for run, _ in fresh}), list({key for _, key in fresh}))
    for (run, key), value in fresh.items():
        if stands[run][key] != value:
            raise _param_is_set(run, [(key, stands[run][key], value)], is_single=True)


def _put_tags(tx: Transaction, batches: Sequence[Batch], owners: Mapping[RunId, Owner]) -> None:
    tags = {(batch.run_id, key): value for batch in batches for key, value in batch.tags}
    runs.put_texts(tx, RUN_TAGS, [(run, key, value) for (run, key), value in tags.items()], owners)
    changes: dict[RunId, dict[str, str]] = {}
    for (run, key), value in tags.items():
        column = DIGEST_TAGS.get(key) or ("name" if key == RUN_NAME_TAG else "")
        if column:
            changes.setdefault(run, {})[column] = value
    for run, values in sorted(changes.items()):
        runs.update_run(tx, run, values)


def delete_tag(tx: Transaction, principal: Principal, run_id: RunId, key: str) -> None:
    """Removes a run's tag. Raises NoSuchTag; the digests of what a run was made of are not removed."""
    facts = get_writable(tx, principal, run_id)
    if key in DIGEST_TAGS:
        raise ParamIsSet(f"the tag {key} of a run is not removed", hint="start another run")
    if not runs.remove_text(tx, RUN_TAGS, facts.id, key):
        raise NoSuchTag(f"No tag with name: {key} in run with id {run_id}")


def append_to_tag(tx: Transaction, principal: Principal, run_id: RunId, key: str, value: object) -> None:
    """Adds `value` to the JSON list in a run's tag; the list may be longer than other tags."""
    facts = get_writable(tx, principal, run_id)
    stands = runs.list_texts(tx, RUN_TAGS, [run_id], [key]).get(run_id, {}).get(key, "[]")
    try:
        listed = [*msgspec.json.decode(stands, type=list[object]), value]
    except msgspec.DecodeError:
        listed = [value]
    text = checked_text(json.dumps(listed), key)  # blanks as MLflow has them, since some compare the text
    runs.put_texts(tx, RUN_TAGS, [(run_id, key, text)], {run_id: Owner(facts.team_id, facts.experiment_id)})


def digest_tags(
    *, source: Digest | None = None, environment: Digest | None = None, snapshot: Digest | None = None
) -> tuple[tuple[str, str], ...]:
    """The tags that say what a run was made of, for a batch."""
    found = {SOURCE_DIGEST_TAG: source, ENVIRONMENT_DIGEST_TAG: environment, SNAPSHOT_DIGEST_TAG: snapshot}
    return tuple((key, value) for key, value in found.items() if value is not None)
