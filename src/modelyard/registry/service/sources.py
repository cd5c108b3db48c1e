"""Whether the source of a version belongs to what the request says it comes from: MLflow's rules, over what lies here."""

import msgspec

from modelyard.access.domain import Principal
from modelyard.core.errors import InvalidInput, NotFound
from modelyard.registry.domain import ModelName, ModelVersion, NoSuchModel, NoSuchVersion, VersionState
from modelyard.registry.rules.names import checked_alias, checked_model_name
from modelyard.registry.rules.sources import Source, SourceKind, check_path, invalid, is_below, is_local, is_within, without
from modelyard.registry.service.guard import known_version, seen_model
from modelyard.registry.service.notes import known_stage
from modelyard.registry.service.versions import details
from modelyard.registry.store import briefs, events, notes
from modelyard.storage.database import Snapshot
from modelyard.tracking import service as tracking
from modelyard.tracking.domain import LoggedModelId, RunId


class Sought(msgspec.Struct, frozen=True, kw_only=True):
    """What a client wants registered: the source as it names it, and the run and logged model that it says it came from.

    `names_run` is True where the request names a run, be it none: a copy of a version must then come from that one.
    """

    uri: str
    run: str = ""
    run_link: str = ""
    logged_model: str = ""
    description: str = ""
    names_run: bool = False


def checked_owner(snapshot: Snapshot, principal: Principal, source: Source, sought: Sought) -> str:
    """Where clients will download what the source names. Raises InvalidInput unless it belongs to the run or model that was named."""
    parameter = "model_id" if sought.logged_model else "run_id"
    if source.kind is SourceKind.LOCAL:
        return _checked_local(snapshot, principal, source, sought)
    check_path(source.uri)
    if source.kind is SourceKind.LOGGED_MODEL:
        if not sought.logged_model or source.owner != sought.logged_model:
            raise without(source.uri, "model_id")
        return _model_location(snapshot, principal, source)
    if source.kind is SourceKind.RUN and (parameter == "model_id" or not source.owner or source.owner != sought.run):
        raise without(source.uri, parameter)
    if source.kind is SourceKind.PROXIED and not is_within(source.uri, _root(snapshot, principal, source, sought)):
        raise without(source.uri, parameter)
    return source.uri


def _model_location(snapshot: Snapshot, principal: Principal, source: Source) -> str:
    try:
        return tracking.get_logged_model(snapshot, principal, LoggedModelId(source.owner)).artifact_uri
    except NotFound as error:
        raise NotFound(
            f"Unable to fetch model from model URI source artifact location '{source.uri}'.Error: {error.message}", hint=error.hint
        ) from error


def _root(snapshot: Snapshot, principal: Principal, source: Source, sought: Sought) -> str:
    """Where the files of the run or logged model lie that the request names. Raises InvalidInput where there is none."""
    parameter = "model_id" if sought.logged_model else "run_id"
    try:
        if sought.logged_model:
            return tracking.get_logged_model(snapshot, principal, LoggedModelId(sought.logged_model)).artifact_uri
        if sought.run:
            return tracking.get_owner(snapshot, principal, RunId(sought.run)).artifact_uri
    except NotFound as error:
        raise without(source.uri, parameter) from error
    raise without(source.uri, parameter)


def _checked_local(snapshot: Snapshot, principal: Principal, source: Source, sought: Sought) -> str:
    """A path of the client's machine, below where its run says that its files lie. Nothing of it is looked at here."""
    parameter = "model_id" if sought.logged_model else "run_id"
    if sought.logged_model or sought.run:
        root = _root(snapshot, principal, source, sought)
        if is_local(root) and is_below(source.uri, root):
            return source.uri
    raise invalid(
        source.uri,
        f"To use a local path as a model version source, the {parameter} request parameter has to be specified and the local path has "
        f"to be contained within the artifact directory of the run specified by the {parameter}.",
    )


def referred(snapshot: Snapshot, principal: Principal, source: Source, sought: Sought) -> ModelVersion:
    """The version that `models:/name/...` means now. Raises NotFound in MLflow's words, and InvalidInput where the request
    says that it came from something else.
    """
    name = checked_model_name(source.owner)
    try:
        seen_model(snapshot, principal, name)
    except NoSuchModel as error:
        raise NotFound(f"Registered Model with name={name} not found", hint=error.hint) from error
    version = _there(snapshot, name, _number(snapshot, name, source))
    beside = notes.list_sources(snapshot, [(name, version.number)]).get((name, version.number))
    differs = sought.names_run and sought.run != (version.run or "")
    if differs or (sought.logged_model and sought.logged_model != (beside.logged_model if beside else "")):
        raise invalid(source.uri, "The run_id and model_id request parameters must match the referenced model version.")
    return version


def _number(snapshot: Snapshot, name: ModelName, source: Source) -> int:
    if source.is_alias:
        alias = checked_alias(source.suffix)
        found = events.find_alias(snapshot, name, alias)
        if found is None and alias.lower() != "latest":
            raise InvalidInput(f"Registered model alias {alias} not found.")
        return found.version if found else _latest(snapshot, name, "")
    if source.suffix.isdigit():
        return int(source.suffix) if len(source.suffix) <= 9 else 0
    return _latest(snapshot, name, "" if source.suffix.lower() == "latest" else known_stage(source.suffix))


def _latest(snapshot: Snapshot, name: ModelName, stage: str) -> int:
    """The newest version in a stage, in any where it is empty."""
    found = briefs.latest_by_stage(snapshot, [name]).get(name, {})
    numbers = [number for one, number in found.items() if stage in ("", one)]
    if not numbers:
        of = f" and stage '{stage}'" if stage else ""
        raise NotFound(f"No versions of model with name '{name}'{of} found")
    return max(numbers)


def _there(snapshot: Snapshot, name: ModelName, number: int) -> ModelVersion:
    """The version, unless it was retired, which MLflow's clients call deleted."""
    try:
        version = known_version(snapshot, name, number)
    except NoSuchVersion as error:
        raise _gone(name, number) from error
    if details(snapshot, [version])[0].state is VersionState.RETIRED:
        raise _gone(name, number)
    return version


def _gone(name: ModelName, number: int) -> NotFound:
    return NotFound(f"Model Version (name={name}, version={number}) not found", hint="search the versions that are there")
