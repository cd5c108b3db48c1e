"""The page over all models: which versions were let through, how the newest dossier of each stands, and where one lacks."""

from typing import Literal
from urllib.parse import urlencode

import msgspec

from modelyard.access.domain import Principal, PrincipalId, Role
from modelyard.access.service import principal_names
from modelyard.core.clock import Instant
from modelyard.governance import service
from modelyard.governance.domain import Dossier
from modelyard.governance.pages.words import PATH, decided_by
from modelyard.governance.service import Release, Releases
from modelyard.registry.domain import ModelName, RiskTier
from modelyard.storage.database import Snapshot
from modelyard.web.parts import Chip
from modelyard.web.words import plural

RECENT = 3
Show = Literal["", "without", "all"]


class ReleaseRow(msgspec.Struct, frozen=True, kw_only=True):
    """A version in the table. `decided_by` let it through, `made_by` made its newest dossier; `may_make` says who looks may make one.

    `risk` is the model's today; under which tier the version was released is in its dossier.
    """

    model: ModelName
    version: int
    risk: RiskTier
    is_live: bool
    is_released: bool
    decided_by: str
    decided_at: Instant | None
    dossier: Dossier | None
    dossiers: int
    made_by: str
    may_make: bool


class GovernancePage(msgspec.Struct, frozen=True, kw_only=True):
    """The context of `governance/governance.html`. `model` is the one that is shown alone; `older` counts what the filter leaves out.

    `live` counts live versions and `covered` those of them with a dossier; `released` and `documented` do so of all let through.
    """

    rows: tuple[ReleaseRow, ...]
    model: str
    chips: tuple[Chip, ...]
    sentence: str
    live: int
    covered: int
    released: int
    documented: int
    waiting: int
    missing: int
    older: int
    idle: tuple[ModelName, ...]
    has_models: bool


def show_governance(snapshot: Snapshot, principal: Principal, show: Show = "", model: str = "") -> GovernancePage:
    """Every version that is live or was let through, with how the requirements stand in its newest dossier."""
    listed = service.list_releases(snapshot, principal)
    found = [one for one in listed if model in ("", one.model.name)]
    names = _names(snapshot, found)
    rows = [_row(one, each, principal, names) for one in sorted(found, key=_lacks_dossier) for each in one.releases]
    recent = {(one.model.name, each.version) for one in found for each in (*one.releases[:RECENT], *filter(_is_live, one.releases))}
    kept: dict[Show, list[ReleaseRow]] = {
        "": [row for row in rows if (row.model, row.version) in recent],
        "without": [row for row in rows if row.dossier is None],
        "all": rows,
    }
    live = [row for row in rows if row.is_live]
    newest = [row.dossier for row in live if row.dossier is not None]
    released = [row for row in rows if row.is_released]
    return GovernancePage(
        rows=tuple(kept[show]),
        model=model,
        chips=tuple(_chip(one, word, kept, show, model) for one, word in CHIPS),
        sentence=_sentence(live, released),
        live=len(live),
        covered=len(newest),
        released=len(released),
        documented=sum(row.dossier is not None for row in released),
        waiting=sum(one.waiting for one in newest),
        missing=sum(one.missing for one in newest),
        older=len(rows) - len(kept[show]) if show == "" else 0,
        idle=tuple(one.model.name for one in found if not one.releases),
        has_models=bool(listed),
    )


CHIPS: tuple[tuple[Show, str], ...] = (("", "Live and recent"), ("without", "Without a dossier"), ("all", "All"))


def _chip(one: Show, word: str, kept: dict[Show, list[ReleaseRow]], show: Show, model: str) -> Chip:
    query = urlencode({key: value for key, value in (("show", one), ("model", model)) if value})
    return Chip(label=word, href=f"{PATH}?{query}" if query else PATH, count=len(kept[one]), is_on=one == show)


def _is_live(release: Release) -> bool:
    return release.is_live


def _lacks_dossier(found: Releases) -> tuple[bool, str]:
    """First the models whose live version has no dossier."""
    return all(one.dossier is not None for one in found.releases if one.is_live), found.model.name


def _row(found: Releases, release: Release, principal: Principal, names: dict[str, str]) -> ReleaseRow:
    approval, dossier = release.approval, release.dossier
    return ReleaseRow(
        model=found.model.name,
        version=release.version,
        risk=found.model.risk,
        is_live=release.is_live,
        is_released=approval is not None,
        decided_by=decided_by(approval, names),
        decided_at=approval.decided_at or approval.asked_at if approval is not None else None,
        dossier=dossier,
        dossiers=release.dossiers,
        made_by=names.get(str(dossier.made_by), "") if dossier is not None else "",
        may_make=approval is not None and principal.may(Role.CONTRIBUTOR, found.model.team_id),
    )


def _names(snapshot: Snapshot, found: list[Releases]) -> dict[str, str]:
    releases = [each for one in found for each in one.releases]
    actors = {each.approval.decided_by for each in releases if each.approval is not None} | {
        each.dossier.made_by for each in releases if each.dossier is not None
    }
    return {str(one): name for one, name in principal_names(snapshot, {PrincipalId(one) for one in actors if one}).items()}


def _sentence(live: list[ReleaseRow], released: list[ReleaseRow]) -> str:
    lacking = [row for row in live if row.dossier is None]
    if not released and not live:
        return "No version was let through yet."
    if not live:
        return f"{plural(len(released), 'version')} {'was' if len(released) == 1 else 'were'} let through; none is live."
    if not lacking:
        return "The live version has a dossier." if len(live) == 1 else f"All {len(live)} live versions have a dossier."
    first = f"{lacking[0].model} v{lacking[0].version}"
    if len(lacking) == 1:
        return f"{first} is live without a dossier."
    return f"{len(lacking)} of {plural(len(live), 'live version')} have no dossier, {first} first."
