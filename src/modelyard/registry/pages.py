"""The registry's pages: the models, one model, one of its versions; two side by side stand in `comparing`. Owns their contexts.

A model's page is the product's central one: what other components say on it comes as values of `registry.sections`.
"""

from collections.abc import Iterable
from urllib.parse import quote, urlencode

import msgspec

from modelyard.access.domain import Principal, PrincipalId, Role
from modelyard.access.service import principal_names
from modelyard.registry import service
from modelyard.registry.artifacts import get_manifest
from modelyard.registry.comparing import choices_of, number_before, show_comparison
from modelyard.registry.domain import (
    AliasMove,
    Column,
    Deprecation,
    File,
    Format,
    Lineage,
    LineageKind,
    LineageStep,
    Model,
    ModelDetail,
    ModelName,
    RiskTier,
    StateChange,
    VersionDetail,
    VersionState,
)
from modelyard.registry.rules import lineage_of
from modelyard.registry.rules.names import page_of
from modelyard.registry.sections import AFTER_VERSIONS, Contribution, Contributors, Phrase, Section, VersionMark
from modelyard.storage.blobs import BlobMissing, Blobs, BlobsUnavailable
from modelyard.storage.database import Snapshot
from modelyard.web.pages import Nav, Page, page
from modelyard.web.parts import Chip, Choice, Link, Moment, Pager, Tone

PATH = "/models"
MODELS_A_PAGE = 50
VERSIONS_A_PAGE = 25
MOST_METRICS = 3
MOST_MOVES = 8
MOST_FILES = 200
MOST_CHOICES = 100

LINEAGE_WORDS: dict[LineageKind, str] = {
    LineageKind.RUN: "Run",
    LineageKind.SNAPSHOT: "Training data",
    LineageKind.FEATURE_SET: "Feature set",
    LineageKind.SOURCE: "Source",
    LineageKind.ENVIRONMENT: "Environment",
    LineageKind.ARTIFACT: "Artifact",
}


class ModelRow(msgspec.Struct, frozen=True, kw_only=True):
    """A model as a row: where its champion stands, and how many versions it has."""

    detail: ModelDetail
    champion: int | None


class ModelsPage(msgspec.Struct, frozen=True, kw_only=True):
    """The context of `registry/models.html`."""

    rows: tuple[ModelRow, ...]
    q: str
    risks: tuple[Chip, ...]
    is_filtered: bool
    pager: Pager


class VersionRow(msgspec.Struct, frozen=True, kw_only=True):
    """A version as a row: its metrics in the order of the table's columns, its marks, its author by name."""

    detail: VersionDetail
    metrics: tuple[float | None, ...]
    marks: tuple[VersionMark, ...]
    author: str


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a lineage in words, with the page of what it names where there is one."""

    label: str
    step: LineageStep
    href: str = ""
    missing: str = "not recorded"


class ModelPage(msgspec.Struct, frozen=True, kw_only=True):
    """The context of `registry/model.html`. `shown` is the version that the side cards are about: the champion, else the latest."""

    model: Model
    state: tuple[Tone, str] | None
    phrases: tuple[Phrase, ...]
    tools: tuple[Link, ...]
    metrics: tuple[str, ...]
    versions: tuple[VersionRow, ...]
    shown: VersionDetail | None
    origins: tuple[Origin, ...]
    moves: tuple[Moment, ...]
    above: tuple[Section, ...]
    below: tuple[Section, ...]
    side: tuple[Section, ...]
    choices: tuple[Choice, ...]
    may_change: bool
    pager: Pager


class VersionPage(msgspec.Struct, frozen=True, kw_only=True):
    """The context of `registry/version.html`. `before` is the version before; `files_error` says why the files cannot be told."""

    model: Model
    detail: VersionDetail
    before: VersionDetail | None
    author: str
    origins: tuple[Origin, ...]
    columns: tuple[Column, ...]
    files: tuple[File, ...]
    files_error: str
    life: tuple[Moment, ...]
    others: tuple[Choice, ...]
    same: tuple[Link, ...]
    sections: tuple[Section, ...]
    side: tuple[Section, ...]
    may_change: bool
    is_retired: bool
    deprecation: Deprecation | None
    deprecated_by: str
    successors: tuple[Choice, ...]


# -- the models --


def show_models(snapshot: Snapshot, principal: Principal, q: str = "", risk: str = "", after: str = "") -> ModelsPage:
    """The models of the viewer's teams, by name."""
    tier = next((one for one in RiskTier if one == risk), None)
    found = service.list_models(snapshot, principal, q=q, after=after, limit=MODELS_A_PAGE + 1, risk=tier)
    rows = tuple(ModelRow(detail=one, champion=_champion(one)) for one in found[:MODELS_A_PAGE])
    kept = {key: value for key, value in (("q", q), ("risk", tier or "")) if value}
    following = urlencode({**kept, "after": rows[-1].detail.model.name}) if len(found) > MODELS_A_PAGE else ""
    return ModelsPage(
        rows=rows,
        q=q,
        risks=tuple(_risk_chip(one, tier, q) for one in (None, *RiskTier)),
        is_filtered=bool(kept),
        pager=Pager(
            said=f"{len(rows)} shown",
            first=f"{PATH}?{urlencode(kept)}" if after else None,
            next=f"{PATH}?{following}" if following else None,
        ),
    )


def _champion(detail: ModelDetail) -> int | None:
    return next((alias.version for alias in detail.aliases if alias.name == "champion"), None)


def _risk_chip(tier: RiskTier | None, chosen: RiskTier | None, q: str) -> Chip:
    kept = {key: value for key, value in (("q", q), ("risk", tier or "")) if value}
    return Chip(label=f"{tier.capitalize()} risk" if tier else "All", href=f"{PATH}?{urlencode(kept)}", is_on=tier == chosen)


# -- one model --


def show_model(snapshot: Snapshot, principal: Principal, contributors: Contributors, model: ModelName, before: int = 0) -> ModelPage:
    """One model: its versions, what the version in use came from, and what the other components say."""
    detail = service.get_model(snapshot, principal, model)
    found = service.list_versions(snapshot, principal, model, before=before, limit=VERSIONS_A_PAGE + 1)
    listed = found[:VERSIONS_A_PAGE]
    said = [function(snapshot, principal, model) for function in contributors.functions]
    number = _champion(detail) or detail.latest
    shown = service.show_version(snapshot, principal, model, number) if number else None
    moves = service.list_alias_moves(snapshot, principal, model, MOST_MOVES)
    names = principal_names(snapshot, [*(one.version.author for one in listed), *(move.moved_by for move in moves)])
    metrics = metric_columns(listed)
    sections = sorted((section for one in said for section in one.sections), key=lambda section: section.order)
    return ModelPage(
        model=detail.model,
        state=next((one.state for one in said if one.state is not None), None),
        phrases=tuple(phrase for one in said for phrase in one.phrases) or _opening(detail, shown),
        tools=tuple(link for one in said for link in one.tools),
        metrics=metrics,
        versions=tuple(_row(one, metrics, said, names) for one in listed),
        shown=shown,
        origins=_origins(lineage_of(shown.version)) if shown else (),
        moves=tuple(_move(one, names) for one in moves),
        above=tuple(section for section in sections if section.place == "main" and section.order < AFTER_VERSIONS),
        below=tuple(section for section in sections if section.place == "main" and section.order >= AFTER_VERSIONS),
        side=tuple(section for section in sections if section.place == "side"),
        choices=choices_of((one for one in listed if one.state is VersionState.REGISTERED), number),
        may_change=principal.may(Role.CONTRIBUTOR, detail.model.team_id),
        pager=_version_pager(model, listed, before, has_more=len(found) > VERSIONS_A_PAGE, count=detail.versions),
    )


def _version_pager(model: ModelName, listed: list[VersionDetail], before: int, *, has_more: bool, count: int) -> Pager:
    return Pager(
        said=f"{len(listed)} of {count} versions",
        first=page_of(model) if before else None,
        next=f"{page_of(model)}?before={listed[-1].version.number}" if has_more else None,
    )


def metric_columns(listed: Iterable[VersionDetail]) -> tuple[str, ...]:
    """The metrics that the table of versions shows: the first that the newest version recorded, then those of older ones."""
    found = dict.fromkeys(name for one in listed for name in one.version.metrics)
    return tuple(list(found)[:MOST_METRICS])


def _row(detail: VersionDetail, metrics: tuple[str, ...], said: list[Contribution], names: dict[PrincipalId, str]) -> VersionRow:
    version = detail.version
    return VersionRow(
        detail=detail,
        metrics=tuple(version.metrics.get(name) for name in metrics),
        marks=tuple(mark for one in said for mark in one.marks if mark.version == version.number),
        author=names[version.author],
    )


def _opening(detail: ModelDetail, shown: VersionDetail | None) -> tuple[Phrase, ...]:
    """The opening sentence where no component has one: what is registered."""
    if shown is None:
        return (Phrase("No version yet."),)
    version = shown.version
    metric = next(iter(version.metrics.items()), None)
    measured = (Phrase(f", at {metric[0]} "), Phrase(f"{metric[1]:.3f}", True)) if metric else ()
    if _champion(detail):
        return (Phrase(f"v{version.number}", True), Phrase(" is the champion"), *measured, Phrase("."))
    return (Phrase(f"v{version.number}", True), Phrase(" is the latest version"), *measured, Phrase("; none is the champion."))


def _origins(lineage: Lineage) -> tuple[Origin, ...]:
    # A delivery records all that there is: where the feature set alone is missing, the model reads none.
    missing = "none" if lineage.missing == (LineageKind.FEATURE_SET,) else "not recorded"
    return tuple(Origin(label=LINEAGE_WORDS[step.kind], step=step, href=_run_page(step), missing=missing) for step in lineage.steps)


def _run_page(step: LineageStep) -> str:
    return f"/runs/{quote(step.id, safe='')}" if step.kind is LineageKind.RUN and step.id else ""


def _move(move: AliasMove, names: dict[PrincipalId, str]) -> Moment:
    way = (
        f"v{move.before} → v{move.after}"
        if move.before and move.after
        else f"v{move.after}"
        if move.after
        else f"removed from v{move.before}"
    )
    href = page_of(move.model, move.after) if move.after else ""
    return Moment(
        at=move.moved_at, title=f"{move.name} {way}", text=f"by {names[move.moved_by]}", tone="good" if move.after else "idle", href=href
    )


# -- one version --


def show_version(  # noqa: PLR0913 - what is injected does not count
    snapshot: Snapshot, principal: Principal, contributors: Contributors, blobs: Blobs, model: ModelName, version: int
) -> VersionPage:
    """One version: what it is, what it came from, what happened to it, and what the other components say."""
    owner = service.get_model(snapshot, principal, model)
    detail = service.show_version(snapshot, principal, model, version)
    said_of = detail.deprecation
    actors = [detail.version.author, *(change.actor for change in detail.states), *([said_of.actor] if said_of else [])]
    names = principal_names(snapshot, actors)
    others = service.list_versions(snapshot, principal, model, limit=MOST_CHOICES)
    choosable = [one for one in others if one.version.number != version]
    content = detail.version.content
    same = [one for one in service.versions_of_digest(snapshot, principal, content) if one.content == content] if content else []
    files, error = _files(snapshot, blobs, detail)
    said = sorted(
        (section for one in contributors.on_version for section in one(snapshot, principal, detail.version)), key=lambda one: one.order
    )
    return VersionPage(
        model=owner.model,
        detail=detail,
        before=next((one for one in others if one.version.number < version), None),
        author=names[detail.version.author],
        origins=_origins(lineage_of(detail.version)),
        columns=detail.version.signature.inputs if detail.version.signature else (),
        files=files,
        files_error=error,
        life=tuple(_life(change, names) for change in reversed(detail.states)),
        others=choices_of(choosable, number_before(others, version)),
        same=tuple(_version_link(one.model, one.number) for one in same if (one.model, one.number) != (model, version)),
        sections=tuple(one for one in said if one.place == "main"),
        side=tuple(one for one in said if one.place == "side"),
        may_change=principal.may(Role.CONTRIBUTOR, owner.model.team_id),
        is_retired=detail.state is VersionState.RETIRED,
        deprecation=said_of,
        deprecated_by=names[said_of.actor] if said_of else "",
        successors=(Choice("", "No version", True), *choices_of(choosable, 0)),
    )


def _version_link(model: ModelName, number: int) -> Link:
    return Link(f"{model} v{number}", page_of(model, number))


def _files(snapshot: Snapshot, blobs: Blobs, detail: VersionDetail) -> tuple[tuple[File, ...], str]:
    version = detail.version
    if version.format is Format.ELSEWHERE:
        key = (version.model, version.number)
        source = service.read_beside(snapshot, [key]).sources[key]
        return (), f"The files lie elsewhere, at {source.location}. Nothing is known of them here, and they are not served."
    try:
        return get_manifest(blobs, version.artifact).files[:MOST_FILES], ""
    except (BlobMissing, BlobsUnavailable) as error:
        return (), error.message


def _life(change: StateChange, names: dict[PrincipalId, str]) -> Moment:
    tone: Tone = "good" if change.state is VersionState.REGISTERED else "idle"
    text = f"by {names[change.actor]}" + (f": {change.why}" if change.why else "")
    return Moment(at=change.at, title=change.state.value.capitalize(), text=text, tone=tone)


PAGES: tuple[Page, ...] = (
    page(PATH, show_models, "registry/models.html", title="Models", nav=Nav("Build", "Models", 30)),
    page("/models/{model}", show_model, "registry/model.html"),
    page("/models/{model}/comparison", show_comparison, "registry/comparison.html", title="Comparison"),
    page("/models/{model}/versions/{version}", show_version, "registry/version.html"),
)
