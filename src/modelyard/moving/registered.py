"""Registered models from there to here, once what their versions point to is here, compared as they come."""

import re
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from modelyard.core.errors import ModelyardError
from modelyard.moving.accounts import Account, patiently
from modelyard.moving.comparing import version_differences
from modelyard.moving.domain import Asked, Source, TheirRegistered
from modelyard.registry.domain import ModelName
from modelyard.registry.imports import ImportedVersion, ModelHere, ModelImport, VersionRecord
from modelyard.sdk.client import Client
from modelyard.tracking.imports import ImportKind

VERSIONS_AT_ONCE = 100
OWNERS_AT_ONCE = 400
_LOGGED = re.compile(r"models:/(m-[0-9a-f]{32})(?:/(.*))?")
_RUN = re.compile(r"runs:/([0-9a-f]{32})(?:/(.*))?")
_BELOW = re.compile(r".*?((?:m-)?[0-9a-f]{32})/artifacts(?:/(.*))?")
_VERSION = re.compile(r"models:/([^/]+)/([0-9]+)")
MOST_COPIES = 20

Key = tuple[str, int]
Owned = tuple[str, str]
"""An owner of files, a run or logged model, and a folder below it."""


def bring_registered(source: Source, client: Client, asked: Asked, account: Account) -> None:
    """Brings every registered model; with experiments asked for, those of their versions that came out of these."""
    account.watch.begins("registered models")
    found = list(source.registered())
    addresses = {(str(one.model.name), version.number): version.uri for one in found for version in one.versions}
    owners = _Owners(client, asked)
    for one in found:
        owned = {version.number: owned_by(version.uri, addresses) for version in one.versions}
        if asked.experiments:
            here = owners.known([owner for owner, _ in owned.values()] + [version.run for version in one.versions])
            versions = tuple(one for one in one.versions if owned[one.number][0] in here or one.run in here)
            if not versions:
                continue
            one = msgspec.structs.replace(one, versions=versions)  # noqa: PLW2901 - the same model with fewer versions
        _bring(client, asked, account, _placed(one, owned, owners, account))


def owned_by(uri: str, addresses: Mapping[Key, str]) -> Owned:
    """The run or logged model that an address names, and the folder; empty where it names none. Copies lead to their original.

    >>> owned_by("s3://bucket/1/models/m-" + "0" * 32 + "/artifacts/", {})[0][:5]
    'm-000'
    """
    for _ in range(MOST_COPIES):
        copied = _VERSION.fullmatch(uri)
        if copied is None:
            break
        uri = addresses.get((copied[1], int(copied[2])), "")
    match = _LOGGED.fullmatch(uri) or _RUN.fullmatch(uri) or _BELOW.fullmatch(uri)
    return (match[1], (match[2] or "").strip("/")) if match else ("", "")


class _Owners:
    """What is here of the runs and logged models that versions point to."""

    def __init__(self, client: Client, asked: Asked) -> None:
        self._client = client
        self._source = asked.source
        self._known: dict[str, bool] = {}
        self._paths: dict[str, tuple[str, ...]] = {}

    def known(self, ids: Iterable[str]) -> set[str]:
        """Those of the runs and logged models that were brought from there, in full."""
        asked = {one for one in ids if one}
        fresh = sorted(asked - self._known.keys())
        for kind, some in (("run", [one for one in fresh if one[:2] != "m-"]), ("logged_model", [one for one in fresh if one[:2] == "m-"])):
            self._known |= self._marked(kind, some)  # type: ignore[arg-type] # one of the two
        return {one for one in asked if self._known[one]}

    def _marked(self, kind: ImportKind, ids: Sequence[str]) -> dict[str, bool]:
        found = dict.fromkeys(ids, False)
        for start in range(0, len(ids), OWNERS_AT_ONCE):
            some = tuple(ids[start : start + OWNERS_AT_ONCE])
            marks = patiently(lambda some=some: self._client.list_import_marks(source=self._source, kind=kind, ids=some))  # type: ignore[misc]
            found |= {mark.their_id: bool(mark.fingerprint) for mark in marks}
        return found

    def has_files(self, owned: Owned) -> bool:
        """Whether a file lies in that folder here."""
        owner, folder = owned
        if owner not in self._paths:
            if owner.startswith("m-"):
                contents = patiently(lambda: self._client.read_model_contents(model_ids=(owner,)))  # type: ignore[arg-type] # an id
                self._paths[owner] = tuple(file.path for one in contents for file in one.artifacts)
            else:
                runs = patiently(lambda: self._client.read_run_contents(run_ids=(owner,)))  # type: ignore[arg-type] # an id
                self._paths[owner] = tuple(file.path for one in runs for file in one.artifacts)
        return any(not folder or path.startswith(f"{folder}/") for path in self._paths[owner])


def _placed(one: TheirRegistered, owned: Mapping[int, Owned], owners: _Owners, account: Account) -> TheirRegistered:
    """The model with versions that know whose files they are, without those whose files may still come."""
    here = owners.known(owner for owner, _ in owned.values())
    placed = []
    for version in one.versions:
        owner, folder = owned[version.number]
        if owner in account.unreadable:
            account.differs("version", f"{one.model.name}/{version.number}", "there", f"not brought: the files of {owner} were not read")
            continue
        if owner in here and owners.has_files((owner, folder)):
            version = msgspec.structs.replace(version, owner=owner, folder=folder)  # noqa: PLW2901 - the same version, placed
        placed.append(version)
    return msgspec.structs.replace(one, versions=tuple(placed))


def _bring(client: Client, asked: Asked, account: Account, one: TheirRegistered) -> None:
    name = one.model.name
    account.there("registered models")
    account.there("versions", len(one.versions))
    account.there("aliases", len(one.model.aliases))
    keys = tuple(f"{name}/{version.number}" for version in one.versions)
    marks = _marks(client, asked, "version", keys)
    fresh = [one for one, key in zip(one.versions, keys, strict=True) if asked.is_full or marks.get(key) != one.fingerprint]
    known = _marks(client, asked, "registered_model", (name,)).get(name) == one.model.fingerprint
    moved = _moved_aliases(client, asked, one)
    account.unchanged("versions", len(one.versions) - len(fresh))
    account.unchanged("aliases", len(one.model.aliases) - len(moved))
    (account.unchanged if known and not fresh and not moved else account.brought)("registered models")
    if asked.is_dry:
        account.brought("versions", len(fresh))
        account.brought("aliases", len(moved))
    elif fresh or moved or not known:
        _send(client, asked, account, msgspec.structs.replace(one, versions=tuple(fresh)))
        account.brought("aliases", len(moved))


def _marks(client: Client, asked: Asked, kind: ImportKind, ids: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for start in range(0, len(ids), OWNERS_AT_ONCE):
        some = ids[start : start + OWNERS_AT_ONCE]
        marks = patiently(lambda some=some: client.list_import_marks(source=asked.source, kind=kind, ids=some))  # type: ignore[misc] # bound
        found |= {mark.their_id: mark.fingerprint for mark in marks}
    return found


def _moved_aliases(client: Client, asked: Asked, one: TheirRegistered) -> list[str]:
    keys = {f"{one.model.name}@{alias}": str(number) for alias, number in one.model.aliases.items()}
    marks = _marks(client, asked, "alias", tuple(keys))
    return [key for key, number in keys.items() if marks.get(key) != number]


def _send(client: Client, asked: Asked, account: Account, one: TheirRegistered) -> None:
    """Brings versions some at a time; aliases with the last of them, when all that they point to are here."""
    parts = [one.versions[start : start + VERSIONS_AT_ONCE] for start in range(0, len(one.versions), VERSIONS_AT_ONCE)] or [()]
    for place, some in enumerate(parts):
        is_last = place + 1 == len(parts)
        model = one.model if is_last else msgspec.structs.replace(one.model, aliases={})
        body = ModelImport(source=asked.source, model=model, versions=some, team=asked.team)
        try:
            here = patiently(lambda body=body: client.import_model(body))  # type: ignore[misc] # bound now
        except ModelyardError as error:
            account.refused("registered model", one.model.name, error)
            return
        _compare(client, account, (one.model.name, some), here)
    _compare_model(client, account, one)


def _compare(client: Client, account: Account, brought: tuple[ModelName, Sequence[ImportedVersion]], here: ModelHere) -> None:
    name, some = brought
    refused = {found.number: found.message for found in here.versions if found.became == "refused"}
    without = [found.number for found in here.versions if found.became != "refused" and not found.has_files]
    if without:
        numbers = ", ".join(map(str, without[:20]))
        account.notes.append(f"{name}: versions {numbers} are records without files, for these lie where nobody read them")
    records = _records(client, name, [version.number for version in some])
    for version in some:
        if version.number in refused:
            account.differs("version", f"{name}/{version.number}", "there", f"not brought: {refused[version.number]}")
            continue
        found = list(version_differences(name, version, records[version.number]))
        account.mismatches.extend(found)
        if not found:
            account.brought("versions")
    for alias, message in here.refused.items():
        account.differs("alias", f"{name}@{alias}", "there", f"not set: {message}")


def _records(client: Client, name: ModelName, numbers: Sequence[int]) -> dict[int, VersionRecord]:
    """The records of those versions here; numbers may have gaps."""
    found: dict[int, VersionRecord] = {}
    before = max(numbers, default=0) + 1
    while numbers and before > min(numbers):
        page = patiently(lambda before=before: client.get_model_record(name, before=before, limit=500)).versions  # type: ignore[misc] # bound
        if not page:
            break
        found |= {one.detail.version.number: one for one in page}
        before = min(one.detail.version.number for one in page)
    return found


def _compare_model(client: Client, account: Account, one: TheirRegistered) -> None:
    held = patiently(lambda: client.get_model_record(one.model.name, limit=1))
    if held.detail.model.purpose != one.model.description:
        account.differs("description", f"model {one.model.name}", one.model.description, held.detail.model.purpose)
    for key, value in one.model.tags.items():
        if held.tags.get(key) != value:
            account.differs("tag", f"model {one.model.name}: {key}", value, held.tags.get(key))
