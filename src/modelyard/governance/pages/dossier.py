"""One dossier: every requirement with its answer and where its evidence can be looked at, and how an auditor verifies the bundle."""

from typing import Literal

import msgspec

from modelyard.access.domain import Principal, Role
from modelyard.access.service import principal_names
from modelyard.governance import service
from modelyard.governance.domain import Answer, Dossier, DossierId, Framework
from modelyard.governance.pages.words import (
    STANDINGS,
    Origin,
    Place,
    Standing,
    dossier_page,
    places_of,
    standing_of,
)
from modelyard.governance.records import delivery_of
from modelyard.governance.rules.catalogue import Counts, counted
from modelyard.governance.rules.lines import ManifestLine
from modelyard.governance.service import Contents, RoleKeys
from modelyard.ledger.service import LogKey
from modelyard.registry.domain import ModelName
from modelyard.registry.service import get_version
from modelyard.storage.blobs import Blobs
from modelyard.storage.database import Database, Snapshot
from modelyard.storage.tables import Tables
from modelyard.web.pages import Done
from modelyard.web.parts import Chip, Tone

Show = Literal["", "met", "waiting", "missing", "not_applicable"]


class Requirement(msgspec.Struct, frozen=True, kw_only=True):
    """A requirement as the page shows it: its answer, how it stands as a shape and a word, and where its evidence is."""

    answer: Answer
    tone: Tone
    word: str
    places: tuple[Place, ...]


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A framework: how many of its requirements stand how, those that the filter shows, and those that do not apply, with why."""

    framework: Framework
    counts: Counts
    shown: tuple[Requirement, ...]
    aside: tuple[Requirement, ...]
    why_aside: str


class DossierPage(msgspec.Struct, frozen=True, kw_only=True):
    """The context of `governance/dossier.html`. `newer` is the version's newest dossier where that is another one.

    `archive` and `folder` are what the commands call the bundle as it is downloaded, and unpacked.
    """

    dossier: Dossier
    risk: str
    made_by: str
    newer: DossierId | None
    frameworks: tuple[Part, ...]
    chips: tuple[Chip, ...]
    show: Show
    applying: int
    files: tuple[ManifestLine, ...]
    checkpoint: str
    checkpoint_size: int
    archive: str
    folder: str
    may_make: bool


def show_dossier(snapshot: Snapshot, principal: Principal, blobs: Blobs, dossier: DossierId, show: Show = "") -> DossierPage:
    """A dossier, with those of its requirements that stand as `show` says, or all. Raises NoSuchDossier."""
    found, contents = service.read_dossier(snapshot, blobs, principal, dossier)
    newest = service.list_version_dossiers(snapshot, principal, found.model, found.version)[0]
    origin = _origin(snapshot, found)
    return DossierPage(
        dossier=found,
        risk=contents.answers.risk_tier,
        made_by=principal_names(snapshot, [found.made_by])[found.made_by],
        newer=newest.id if newest.id != found.id else None,
        frameworks=tuple(part for one in contents.answers.frameworks if (part := _part(one, contents, origin, show)) is not None),
        chips=_chips(found, show),
        show=show,
        applying=found.met + found.waiting + found.missing,
        files=contents.files,
        checkpoint=contents.checkpoint,
        checkpoint_size=int(contents.checkpoint.splitlines()[1]),
        archive=archive_name(found),
        folder=f"{found.model}-{found.version}",
        may_make=principal.may(Role.CONTRIBUTOR, found.team_id),
    )


def archive_name(found: Dossier) -> str:
    """What the bundle is called as it is downloaded."""
    return f"{found.model}-{found.version}-{found.id}.tar"


def make(  # noqa: PLR0913 - all but two are injected
    database: Database,
    blobs: Blobs,
    tables: Tables,
    log_key: LogKey,
    keys: RoleKeys,
    principal: Principal,
    model: ModelName,
    version: int,
) -> Done:
    """Makes a dossier."""
    made = service.make_dossier(database, blobs, tables, log_key, keys, principal, model, version)
    return Done(dossier_page(made.id), f"The dossier of {model} v{version} is made, and verifies.")


def _origin(snapshot: Snapshot, found: Dossier) -> Origin:
    version = get_version(snapshot, found.model, found.version)
    delivery = delivery_of(snapshot, version).delivery
    return Origin(model=found.model, version=found.version, delivery=delivery.id, run=version.run or "")


def _part(framework: Framework, contents: Contents, origin: Origin, show: Show) -> Part | None:
    """The framework's part of the page; None where the filter leaves nothing of it."""
    answers = [one for one in contents.answers.requirements if one.framework == framework.id]
    found = [_requirement(one, contents, origin) for one in answers if show in ("", standing_of(one))]
    aside = tuple(one for one in found if standing_of(one.answer) == "not_applicable")
    reasons = {one.answer.reason for one in aside}
    if not found:
        return None
    return Part(
        framework=framework,
        counts=counted(answers),
        shown=tuple(one for one in found if standing_of(one.answer) != "not_applicable"),
        aside=aside,
        why_aside=reasons.pop() if len(reasons) == 1 else "",
    )


def _requirement(answer: Answer, contents: Contents, origin: Origin) -> Requirement:
    tone, word = STANDINGS[standing_of(answer)]
    return Requirement(answer=answer, tone=tone, word=word, places=places_of(answer.evidence, contents.records, origin))


def _chips(found: Dossier, show: Show) -> tuple[Chip, ...]:
    words: tuple[tuple[Show, str], ...] = (("", "All"), *((one, word) for one, (_, word) in STANDINGS.items()))
    counts: dict[Standing, int] = {
        "met": found.met,
        "waiting": found.waiting,
        "missing": found.missing,
        "not_applicable": found.not_applicable,
    }
    page = dossier_page(found.id)
    return tuple(
        Chip(word, f"{page}?show={one}" if one else page, count=counts[one] if one else sum(counts.values()), is_on=one == show)
        for one, word in words
    )
