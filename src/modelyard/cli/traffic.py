"""`yard rollback`, `yard deprecate` and `yard retire`: the way back, a warning, and the way out."""

import time
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from modelyard.cli.connection import connected, data_folder
from modelyard.cli.nearby import rolled_back_locally
from modelyard.cli.output import Json, console, plain, print_json
from modelyard.core.errors import InvalidInput
from modelyard.registry.domain import ModelName, VersionDetail, VersionState
from modelyard.sdk.client import Client
from modelyard.serving.domain import RevisionDetail, RevisionState

LOOK_S = 0.1
LONGEST_S = 15.0


class Retired(msgspec.Struct, frozen=True, kw_only=True):
    """What `yard retire --json` prints: the versions that are retired now, and whether an endpoint was withdrawn."""

    model: str
    versions: list[int]
    was_served: bool


def rollback(  # noqa: PLR0913 - each is a word of the command line
    model: str,
    /,
    *,
    to: Annotated[str, Parameter(help="The version to go back to; the champion before, unless given.")] = "",
    why: Annotated[str, Parameter(help="The reason; it is recorded.")] = "",
    local: Annotated[bool, Parameter(negative="", show_default=False, help="At this machine's gateway, cut off from the server.")] = False,
    data: Annotated[Path | None, Parameter(help="With --local, the data folder; the nearest .yard upward, unless given.")] = None,
    json: Json = False,
) -> int:
    """Takes a model back at once: to the champion before, or out of a canary, or to a version.

    With --local it does so at the gateway of this machine, for whoever may open its data folder, and only while the
    control plane is away. The gateway stays there after a restart, and reports it when the control plane is back.

    Example: yard rollback late_arrival --to 3 --why "answers too late"
    """
    number = version_number(to) if to else None
    if local:
        return _locally(rolled_back_locally(data or data_folder(), ModelName(model), number, why), json=json)
    with connected() as client:
        detail = client.rollback(ModelName(model), to=number, cause=why)
        detail = _settled(client, detail)
    if json:
        print_json(detail)
        return 0 if detail.state is RevisionState.ACTIVE else 1
    return _told(detail)


def retire(
    model: str,
    /,
    *,
    version: Annotated[str, Parameter(help="Only this version; the model stays in service.")] = "",
    why: Annotated[str, Parameter(help="The reason; it is recorded.")],
    json: Json = False,
) -> int:
    """Retires a model for good: out of service, its aliases removed, every version retired. Its records stay.

    After an interruption run it once more: it goes on with what is left.

    Example: yard retire late_arrival --version 2 --why "trained on wrong labels"
    """
    name = ModelName(model)
    with connected() as client:
        if version:
            number = version_number(version)
            client.retire_version(name, number, why)
            retired = Retired(model=model, versions=[number], was_served=False)
        else:
            retired = _all_retired(client, name, why)
    if json:
        print_json(retired)
        return 0
    versions = ", ".join(f"v{one}" for one in retired.versions) or "no version was left"
    console().print(f"{plain(model)} is retired: {versions}{', and it is out of service' if retired.was_served else ''}")
    return 0


def deprecate(  # noqa: PLR0913 - each is a word of the command line
    model: str,
    /,
    *,
    version: Annotated[str, Parameter(help="The version.")],
    why: Annotated[str, Parameter(help="The reason; it is recorded and told to all who look at the version.")] = "",
    successor: Annotated[str, Parameter(help="The version to take instead.")] = "",
    undo: Annotated[bool, Parameter(negative="", help="Takes it back.")] = False,
    json: Json = False,
) -> int:
    """Marks a version as one that should not be taken up any more. Traffic and aliases stay; `yard retire` ends them.

    Example: yard deprecate late_arrival --version 2 --why "trained on wrong labels" --successor 3
    """
    name, number = ModelName(model), version_number(version)
    if undo and (why or successor):
        raise InvalidInput("--undo with a reason or a successor", hint=f"yard deprecate {model} --version {number} --undo")
    if not undo and not why:
        raise InvalidInput("a version is deprecated for a reason", hint="add --why")
    with connected() as client:
        if undo:
            detail = client.withdraw_deprecation(name, number)
        else:
            detail = client.deprecate_version(name, number, why, successor=version_number(successor) if successor else None)
    if json:
        print_json(detail)
        return 0
    said = detail.deprecation
    instead = f"; v{said.successor} is to be taken instead" if said and said.successor else ""
    console().print(f"{plain(model)} v{number} is {'deprecated' if said else 'not deprecated'}{instead}.")
    return 0


def version_number(text: str) -> int:
    """The number in `3` or `v3`. Raises InvalidInput.

    >>> version_number("v3")
    3
    """
    number = text.removeprefix("v")
    if not number.isdecimal():
        raise InvalidInput(f"{text[:40]!r} is no version", hint="versions are numbers, such as 3")
    return int(number)


def _all_retired(client: Client, model: ModelName, why: str) -> Retired:
    detail = client.get_model(model)
    was_served = False
    for endpoint in client.list_endpoints():
        if endpoint.model == model and (endpoint.live or endpoint.coming):
            client.withdraw_endpoint(model, cause=why)
            was_served = True
    for alias in detail.aliases:
        client.delete_alias(model, alias.name)
    numbers = [one.version.number for one in _versions(client, model) if one.state is not VersionState.RETIRED]
    for number in numbers:
        client.retire_version(model, number, why)
    return Retired(model=model, versions=numbers, was_served=was_served)


def _versions(client: Client, model: ModelName) -> list[VersionDetail]:
    found: list[VersionDetail] = []
    while page := client.list_versions(model, before=found[-1].version.number if found else 0):
        found += page
        if page[-1].version.number == 1:
            break
    return found


def _settled(client: Client, detail: RevisionDetail) -> RevisionDetail:
    """The revision once every live gateway answers under it, or as it stands after a while."""
    until = time.monotonic() + LONGEST_S
    while detail.state in (RevisionState.PROPOSED, RevisionState.PREPARED) and time.monotonic() < until:
        time.sleep(LOOK_S)
        detail = client.get_revision(detail.revision.model, detail.revision.number)
    return detail


def _locally(detail: RevisionDetail, *, json: bool) -> int:
    if json:
        print_json(detail)
        return 0
    one, where = detail.revision, plain(", ".join(switch.gateway for switch in detail.switches))
    version = f"[green]v{one.traffic.champion}[/]"
    console().print(f"{one.model} is back at {version} at the gateway {where} alone (revision {one.number}): {plain(one.cause)}")
    console().print("It stays there, and is reported when the control plane is back: yard status shows what becomes of it.", style="dim")
    return 0


def _told(detail: RevisionDetail) -> int:
    one = detail.revision
    if detail.state is RevisionState.ACTIVE:
        console().print(f"{one.model} is back at [green]v{one.traffic.champion}[/] (revision {one.number}): {plain(one.cause)}")
        return 0
    if detail.state is RevisionState.FAILED:
        console().print(f"[red]A gateway could not load v{one.traffic.champion}[/]: {plain(detail.why_failed)}")
    else:
        console().print(
            f"Revision {one.number} is {detail.state}: no gateway serves under it yet. yard status {one.model} shows when one does."
        )
    return 1
