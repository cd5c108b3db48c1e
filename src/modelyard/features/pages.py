"""The feature store's pages: the catalogue, a view with what it holds online, an on-demand feature. Owns their contexts."""

from collections import Counter
from collections.abc import Callable, Sequence
from urllib.parse import urlencode

import msgspec

from modelyard.access.domain import Principal, PrincipalId
from modelyard.access.service import principal_names
from modelyard.core.clock import Instant
from modelyard.core.digests import Digest
from modelyard.features import service
from modelyard.features.definitions import Reuse, changes_between, declaration_of, reuse_of, reuse_of_function
from modelyard.features.domain import (
    AppliedOnDemand,
    AppliedSet,
    AppliedView,
    ColumnProfile,
    Erasure,
    FeatureConsumer,
    FeatureSet,
    FeatureView,
    Materialization,
    Reason,
    ViewFreshness,
    ViewSummary,
)
from modelyard.features.drawings import CourseRow, course_row, lag_chart, lineage_of
from modelyard.features.sections import Parities, Parity, Reads
from modelyard.features.standing import ReaderRow, Trouble, reader_rows, troubles_of
from modelyard.storage.database import Snapshot
from modelyard.storage.online import OnlineStore
from modelyard.web.charts import Chart
from modelyard.web.lanes import Lanes
from modelyard.web.pages import Nav, Page, page
from modelyard.web.parts import Change, Chip, Pager, Tone

PATH = "/features"
VIEWS_A_PAGE = 50
MOST_FOUND = 3
COURSES = 24
"""How many features are drawn day by day before somebody asks for all."""
KINDS: dict[str, Callable[[ViewSummary], bool]] = {
    "stale": lambda one: one.freshness.is_stale,
    "not_materialized": lambda one: one.freshness.upto_at is None,
    "shared": lambda one: one.consumers > 1,
    "unused": lambda one: not one.consumers,
}
"""The usual filters of the catalogue."""


class State(msgspec.Struct, frozen=True):
    """How a view stands, as a shape and a word."""

    tone: Tone
    word: str


class ViewRow(msgspec.Struct, frozen=True, kw_only=True):
    """A view in the catalogue; `found` are its features that hold the words that were asked for."""

    applied: AppliedView
    state: State
    freshness: ViewFreshness
    consumers: int
    found: tuple[str, ...]
    found_more: int


class CataloguePage(msgspec.Struct, frozen=True, kw_only=True):
    """The context of `features/catalogue.html`. The figures are of all views, `rows` one page of those asked for."""

    q: str
    chips: tuple[Chip, ...]
    rows: tuple[ViewRow, ...]
    on_demand: tuple[AppliedOnDemand, ...]
    is_filtered: bool
    views: int
    features: int
    entities: int
    stale: int
    shared: int
    pager: Pager


class FeatureRow(msgspec.Struct, frozen=True, kw_only=True):
    """A feature with its type, where it comes from, and the profile of its values online; `missing` counts why some are not there."""

    name: str
    dtype: str
    origin: str
    profile: ColumnProfile | None
    missing: tuple[tuple[str, int], ...]
    reuse: Reuse


class VersionRow(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a view, what it changed of the one before, and how many served versions of models read it."""

    applied: AppliedView
    changes: tuple[Change, ...]
    readers: int


class ViewPage(msgspec.Struct, frozen=True, kw_only=True):
    """The context of `features/view.html`. `sampled` of its entities were read online, as of `read_at`.

    `readers` are what reads it, each with the version that it reads, `sets` all sets that have it, `names` whoever applied a
    version. `troubles` are what is wrong with it now, `erasures` those of its entity.
    """

    applied: AppliedView
    state: State
    freshness: ViewFreshness
    troubles: tuple[Trouble, ...]
    brought: Materialization | None
    definition: str
    features: tuple[FeatureRow, ...]
    consumers: tuple[FeatureConsumer, ...]
    readers: tuple[ReaderRow, ...]
    named: tuple[str, ...]
    erasures: tuple[Erasure, ...]
    sets: tuple[str, ...]
    versions: tuple[VersionRow, ...]
    names: dict[PrincipalId, str]
    reads: Reads
    courses: tuple[CourseRow, ...]
    lineage: Lanes
    lag: Chart | None
    sampled: int
    read_at: Instant
    reuse: Reuse


class InputRow(msgspec.Struct, frozen=True, kw_only=True):
    """What an on-demand feature reads, and where that is found; `href` is the page of a view."""

    name: str
    dtype: str
    origin: str
    href: str = ""


class OnDemandPage(msgspec.Struct, frozen=True, kw_only=True):
    """The context of `features/on_demand.html`. `names` says who applied a version, `current` which versions sets have now."""

    applied: AppliedOnDemand
    inputs: tuple[InputRow, ...]
    calls: tuple[str, ...]
    readers: tuple[tuple[AppliedSet, FeatureConsumer | None], ...]
    versions: tuple[AppliedOnDemand, ...]
    current: tuple[Digest, ...]
    names: dict[PrincipalId, str]
    parities: tuple[Parity, ...]
    reuse: Reuse


def show_on_demand(snapshot: Snapshot, principal: Principal, parities: Parities, feature: str) -> OnDemandPage:
    """An on-demand feature: its function, what it reads, who decided that it may be run, and what has it."""
    versions = service.list_on_demand_versions(snapshot, principal, feature)
    readers = service.list_on_demand_readers(snapshot, principal, feature)
    applied = versions[0]
    return OnDemandPage(
        applied=applied,
        inputs=tuple(_input(name, dtype, readers[0][0].set if readers else None) for name, dtype in applied.function.dtypes.items()),
        calls=tuple(service.called(applied.function)),
        readers=tuple(readers),
        versions=tuple(versions),
        current=tuple({function.digest for found, _ in readers for function in found.set.on_demand if function.name == feature}),
        names=principal_names(snapshot, {one.applied_by for one in versions}),
        parities=parities.of(snapshot, principal, f"on-demand/{feature}", 0).parities,
        reuse=reuse_of_function(feature),
    )


def _input(name: str, dtype: str, within: FeatureSet | None) -> InputRow:
    for part in () if within is None else within.features:
        if name in part.names:
            return InputRow(name=name, dtype=dtype, origin=f"the view {part.view.name}", href=f"{PATH}/{part.view.name}")
    if within is not None and name in {one.name for one in within.on_demand}:
        return InputRow(name=name, dtype=dtype, origin="computed on demand", href=f"{PATH}/on-demand/{name}")
    if within is not None and name in {key.name for key in within.keys}:
        return InputRow(name=name, dtype=dtype, origin="a key of the request")
    return InputRow(name=name, dtype=dtype, origin="the request" if within is not None else "no set has it now")


def show_catalogue(snapshot: Snapshot, principal: Principal, q: str = "", state: str = "", after: str = "") -> CataloguePage:
    """The views that the viewer may see and that hold the words of `q`: stale ones first, with words the best found first."""
    everything = service.list_views(snapshot, principal)
    found = service.found_views(everything, q)
    kept = [one for one in found if state not in KINDS or KINDS[state](one.summary)]
    if not q.strip():
        # What is stale comes first, and of that what most read: there an answer may be wrong now.
        kept = sorted(kept, key=lambda one: one.summary.freshness.is_stale and -1 - one.summary.consumers)
    names = [one.summary.applied.view.name for one in kept]
    first = names.index(after) + 1 if after in names else 0
    shown = kept[first : first + VIEWS_A_PAGE]
    asked = {key: text for key, text in (("q", q), ("state", state)) if text}
    following = urlencode({**asked, "after": names[first + len(shown) - 1]}) if first + len(shown) < len(kept) else ""
    return CataloguePage(
        q=q,
        chips=tuple(_chip(kind, state, q, [one.summary for one in found]) for kind in ("", *KINDS)),
        rows=tuple(_row(one) for one in shown),
        on_demand=tuple(service.found_on_demand(service.list_on_demand(snapshot, principal), q)) if state not in KINDS else (),
        is_filtered=bool(asked),
        views=len(everything),
        features=sum(len(one.applied.view.names) for one in everything),
        entities=len({one.applied.view.entity.name for one in everything}),
        stale=sum(one.freshness.is_stale for one in everything),
        shared=sum(one.consumers > 1 for one in everything),
        pager=Pager(
            said=f"{first + 1} to {first + len(shown)} of {len(kept)} views" if shown else "no view",
            first=f"{PATH}?{urlencode(asked)}" if first else None,
            next=f"{PATH}?{following}" if following else None,
        ),
    )


def _chip(kind: str, chosen: str, q: str, found: Sequence[ViewSummary]) -> Chip:
    asked = urlencode({key: text for key, text in (("q", q), ("state", kind)) if text})
    count = sum(KINDS[kind](one) for one in found) if kind else len(found)
    return Chip(label=kind.replace("_", " ").capitalize() or "All", href=f"{PATH}?{asked}", count=count, is_on=kind == chosen)


def _row(one: service.FoundView) -> ViewRow:
    summary = one.summary
    return ViewRow(
        applied=summary.applied,
        state=state_of(summary.freshness),
        freshness=summary.freshness,
        consumers=summary.consumers,
        found=one.features[:MOST_FOUND],
        found_more=max(len(one.features) - MOST_FOUND, 0),
    )


def show_view(  # noqa: PLR0913 - all but two are injected
    snapshot: Snapshot, principal: Principal, online: OnlineStore, parities: Parities, view: str, courses: str = ""
) -> ViewPage:
    """One view: what it computes, how fresh it is, who reads it, what its values look like and whether reads were those of its source."""
    applied = service.get_view(snapshot, principal, view)
    freshness = service.view_freshness(snapshot, principal, view)
    sample = service.sample_online(snapshot, online, applied)
    brought = {one.digest: one for one in service.list_materializations(snapshot, principal, view)}
    readers = service.list_readers(snapshot, principal, view)
    consumers = service.list_consumers(snapshot, principal, view)
    versions = service.list_view_versions(snapshot, principal, view)
    sets = [one for one in service.list_sets(snapshot, principal) if any(each.name == view for each in one.set.views)]
    reads = parities.of(snapshot, principal, view, len(applied.view.names) if courses == "all" else COURSES)
    state = state_of(freshness)
    return ViewPage(
        applied=applied,
        state=state,
        freshness=freshness,
        troubles=troubles_of(applied, versions, brought, readers, snapshot.now()),
        brought=brought.get(applied.digest),
        definition=declaration_of(applied.view),
        features=tuple(_feature(applied.view, column.name, str(column.dtype), sample) for column in applied.view.columns),
        consumers=tuple(consumers),
        readers=reader_rows(applied, versions, readers, consumers),
        named=_few([one.name for one in consumers]),
        erasures=tuple(one for one in service.list_erasures(snapshot, principal) if one.entity == applied.view.entity.name),
        sets=tuple(one.set.name for one in sets),
        versions=_version_rows(versions, Counter(one.digest for one in readers)),
        names=principal_names(snapshot, {one.applied_by for one in versions}),
        reads=reads,
        courses=tuple(course_row(one) for one in reads.courses),
        lineage=lineage_of(applied, state.tone, [one.set.name for one in sets], consumers, reads.live),
        lag=lag_chart(reads.days, freshness.promised_s),
        sampled=sample.entities,
        read_at=snapshot.now(),
        reuse=reuse_of(applied.view),
    )


def _feature(view: FeatureView, name: str, dtype: str, sample: service.OnlineSample) -> FeatureRow:
    return FeatureRow(
        name=name,
        dtype=dtype,
        origin=_origin(view, name),
        profile=sample.profiles.get(name),
        missing=_counted(sample.missing.get(name, {})),
        reuse=reuse_of(view, name),
    )


def _version_rows(versions: Sequence[AppliedView], readers: Counter[Digest]) -> tuple[VersionRow, ...]:
    return tuple(
        VersionRow(applied=one, changes=changes_between(before.view, one.view) if before else (), readers=readers[one.digest])
        for one, before in zip(versions, [*versions[1:], None], strict=True)
    )


PAGES: tuple[Page, ...] = (
    page(PATH, show_catalogue, "features/catalogue.html", nav=Nav("Build", "Features", 10)),
    page(f"{PATH}/on-demand/{{feature}}", show_on_demand, "features/on_demand.html"),
    page(f"{PATH}/{{view}}", show_view, "features/view.html"),
)


def state_of(freshness: ViewFreshness) -> State:
    """How a view stands.

    >>> state_of(ViewFreshness(view="v", newest_event_at=None, upto_at=None, lag_s=None, promised_s=None, is_stale=False)).word
    'Not materialized'
    """
    if freshness.is_stale:
        return State("bad", "Stale")
    if freshness.upto_at is None:
        return State("idle", "Not materialized")
    return State("good", "Fresh") if freshness.promised_s is not None else State("idle", "No promise")


def _origin(view: FeatureView, name: str) -> str:
    for output in view.outputs:
        if output.name == name:
            item = next(one for one in view.aggregate if one.name == output.column)
            where = f" where {item.where}" if item.where else ""
            return f"{output.function} of {item.column}{where} over {output.window.length}"
    return "as it stands in the source"


def _few(names: list[str]) -> tuple[str, ...]:
    return tuple(names) if len(names) < 4 else (*names[:2], f"{len(names) - 2} more")


def _counted(missing: dict[int, Reason]) -> tuple[tuple[str, int], ...]:
    return tuple((reason.replace("_", " "), count) for reason, count in Counter(missing.values()).most_common())
