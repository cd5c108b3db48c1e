"""The page of two versions side by side: what differs in what they are and came from, in code and in packages, from records."""

from collections.abc import Iterable
from urllib.parse import urlencode

import msgspec

from modelyard.access.domain import Principal
from modelyard.access.service import principal_names
from modelyard.core.errors import NotFound
from modelyard.registry import service
from modelyard.registry.domain import Comparison, ModelName, ModelVersion, VersionDetail
from modelyard.registry.sections import Contributors
from modelyard.storage.blobs import DIGEST, Blobs
from modelyard.storage.database import Snapshot
from modelyard.tracking import service as tracking
from modelyard.tracking.domain import Run, RunId
from modelyard.tracking.rules.differences import FileChange
from modelyard.web.parts import Change, Choice
from modelyard.web.words import short

MOST_CHOICES = 100
MOST_SHOWN = 100


class Sources(msgspec.Struct, frozen=True, kw_only=True):
    """How the code and the packages of two versions' runs differ; `why_no_files` and `why_no_packages` say why it cannot be told.

    `href` is the page that compares the runs and `lines` the one of their code; empty where a version has no run that is here.
    """

    href: str = ""
    lines: str = ""
    files: tuple[FileChange, ...] = ()
    more_files: int = 0
    why_no_files: str = ""
    packages: tuple[Change, ...] = ()
    more_packages: int = 0
    why_no_packages: str = ""


class ComparisonPage(msgspec.Struct, frozen=True, kw_only=True):
    """The context of `registry/comparison.html`."""

    comparison: Comparison
    changes: tuple[Change, ...]
    sources: Sources
    left: tuple[Choice, ...]
    right: tuple[Choice, ...]


def show_comparison(  # noqa: PLR0913 - three are injected
    snapshot: Snapshot, principal: Principal, contributors: Contributors, blobs: Blobs, model: ModelName, left: int = 0, right: int = 0
) -> ComparisonPage:
    """Two versions side by side; without saying which, the latest and the one before it."""
    details = service.list_versions(snapshot, principal, model, limit=MOST_CHOICES)
    if not details:
        raise NotFound(f"{model} has no version to compare", hint=f"yard ship {model}")
    newer = right or details[0].version.number
    older = left or number_before(details, newer) or newer
    found = service.compare_versions(snapshot, principal, model, older, newer)
    sides = [service.show_version(snapshot, principal, model, number).version for number in (older, newer)]
    told = tuple(Change(one.what, _brief(one.left), _brief(one.right)) for one in found.differences if one.what != "author")
    return ComparisonPage(
        comparison=found,
        changes=(*told, *_people(snapshot, contributors, sides)),
        sources=_sources(snapshot, principal, blobs, sides),
        left=choices_of(details, older),
        right=choices_of(details, newer),
    )


def choices_of(details: Iterable[VersionDetail], chosen: int) -> tuple[Choice, ...]:
    """Those versions as the choices of a field."""
    numbers = [one.version.number for one in details]
    return tuple(Choice(str(number), f"v{number}", number == chosen) for number in numbers)


def number_before(details: Iterable[VersionDetail], version: int) -> int:
    """The first number in those versions that is below `version`, 0 where none is."""
    return next((one.version.number for one in details if one.version.number < version), 0)


def _people(snapshot: Snapshot, contributors: Contributors, sides: list[ModelVersion]) -> tuple[Change, ...]:
    """Who made and who approved them, where that differs."""
    names = principal_names(snapshot, [one.author for one in sides])
    authors = [names[one.author] for one in sides]
    approvers = [contributors.approver(snapshot, one) or None for one in sides]
    listed = (Change("author", authors[0], authors[1]), Change("approver", approvers[0], approvers[1]))
    return tuple(one for one in listed if one.before != one.after)


def _sources(snapshot: Snapshot, principal: Principal, blobs: Blobs, sides: list[ModelVersion]) -> Sources:
    missing = next((f"v{one.number} was registered without a run." for one in sides if one.run is None), "")
    if missing:
        return Sources(why_no_files=missing, why_no_packages=missing)
    ids = [RunId(one.run or "") for one in sides]
    if ids[0] == ids[1]:
        same = "Both came out of the same run."
        return Sources(why_no_files=same, why_no_packages=same)
    try:
        runs = tracking.get_runs(snapshot, principal, ids)
    except NotFound as error:
        return Sources(why_no_files=error.message, why_no_packages=error.message)
    return _of_runs(snapshot, blobs, runs)


def _of_runs(snapshot: Snapshot, blobs: Blobs, runs: list[Run]) -> Sources:
    code, listed = tracking.source_changes(snapshot, blobs, *runs), tracking.list_packages(snapshot, blobs, runs)
    before, after = listed
    changed: list[Change] = []
    if before is not None and after is not None:
        names = sorted({*before, *after})
        changed = [Change(name, before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)]
    return Sources(
        href="/runs/compare?" + urlencode([("run", one.facts.id) for one in runs]),
        lines="/runs/diff?" + urlencode({"base": runs[0].facts.id, "other": runs[1].facts.id}),
        files=code.files[:MOST_SHOWN],
        more_files=max(0, len(code.files) - MOST_SHOWN),
        why_no_files=code.missing,
        packages=tuple(changed[:MOST_SHOWN]),
        more_packages=max(0, len(changed) - MOST_SHOWN),
        why_no_packages="" if None not in listed else "A run left no list of its packages.",
    )


def _brief(text: str | None) -> str | None:
    """A digest with its middle left out; any other text as it is."""
    return short(text) if text and DIGEST.fullmatch(text) else text
