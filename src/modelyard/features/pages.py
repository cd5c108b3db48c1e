"""The feature store's pages: the catalogue, a view with what it holds online, an on-demand feature. Owns their contexts."""

from collections import Counter

import msgspec

from modelyard.access.domain import Principal, PrincipalId
from modelyard.access.service import principal_names
from modelyard.core.clock import Instant
from modelyard.core.digests import Digest
from modelyard.features import service
from modelyard.features.domain import (
    AppliedOnDemand,
    AppliedSet,
    AppliedView,
    ColumnProfile,
    Csv,
    Delta,
    FeatureConsumer,
    FeatureSet,
    FeatureView,
    Materialization,
    Push,
    Reason,
    Source,
    Sql,
    ViewFreshness,
)
from modelyard.features.sections import Parities, Parity
from modelyard.storage.database import Snapshot
from modelyard.storage.online import OnlineStore
from modelyard.web.pages import Nav, Page, page
from modelyard.web.parts import Tone

PATH = "/features"


class State(msgspec.Struct, frozen=True):
    """How a view stands, as a shape and a word."""

    tone: Tone
    word: str


class ViewRow(msgspec.Struct, frozen=True, kw_only=True):
    """A view in the catalogue."""

    applied: AppliedView
    state: State
    freshness: ViewFreshness
    consumers: int


class CataloguePage(msgspec.Struct, frozen=True, kw_only=True):
    """The context of `features/catalogue.html`."""

    views: tuple[ViewRow, ...]
    on_demand: tuple[AppliedOnDemand, ...]
    features: int
    entities: int
    stale: int
    shared: int


class FeatureRow(msgspec.Struct, frozen=True, kw_only=True):
    """A feature with its type, where it comes from, and the profile of its values online; `missing` counts why some are not there."""

    name: str
    dtype: str
    origin: str
    profile: ColumnProfile | None
    missing: tuple[tuple[str, int], ...]
    paste: str


class ViewPage(msgspec.Struct, frozen=True, kw_only=True):
    """The context of `features/view.html`. `sampled` of its entities were read online, as of `read_at`.

    `readers` names a few of its consumers, `names` whoever applied a version.
    """

    applied: AppliedView
    state: State
    freshness: ViewFreshness
    brought: Materialization | None
    definition: str
    features: tuple[FeatureRow, ...]
    consumers: tuple[FeatureConsumer, ...]
    readers: tuple[str, ...]
    versions: tuple[AppliedView, ...]
    names: dict[PrincipalId, str]
    parities: tuple[Parity, ...]
    sampled: int
    read_at: Instant
    paste: str


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
        parities=parities.of(snapshot, principal, f"on-demand/{feature}"),
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


def show_catalogue(snapshot: Snapshot, principal: Principal) -> CataloguePage:
    """Every view that the viewer may see, stale ones first."""
    found = service.list_views(snapshot, principal)
    rows = [ViewRow(applied=one.applied, state=state_of(one.freshness), freshness=one.freshness, consumers=one.consumers) for one in found]
    return CataloguePage(
        views=tuple(sorted(rows, key=lambda row: (not row.freshness.is_stale, row.applied.view.name))),
        on_demand=tuple(service.list_on_demand(snapshot, principal)),
        features=sum(len(row.applied.view.names) for row in rows),
        entities=len({row.applied.view.entity.name for row in rows}),
        stale=sum(row.freshness.is_stale for row in rows),
        shared=sum(row.consumers > 1 for row in rows),
    )


def show_view(snapshot: Snapshot, principal: Principal, online: OnlineStore, parities: Parities, view: str) -> ViewPage:
    """One view: what it computes, how fresh it is, who reads it, and what its values look like online."""
    applied = service.get_view(snapshot, principal, view)
    freshness = service.view_freshness(snapshot, principal, view)
    sample = service.sample_online(snapshot, online, applied)
    brought = [one for one in service.list_materializations(snapshot, principal) if one.view == view]
    consumers = service.list_consumers(snapshot, principal, view)
    versions = service.list_view_versions(snapshot, principal, view)
    return ViewPage(
        applied=applied,
        state=state_of(freshness),
        freshness=freshness,
        brought=next(iter(brought), None),
        definition=definition_of(applied.view),
        features=tuple(
            FeatureRow(
                name=column.name,
                dtype=str(column.dtype),
                origin=_origin(applied.view, column.name),
                profile=sample.profiles.get(column.name),
                missing=_counted(sample.missing.get(column.name, {})),
                paste=f'{applied.view.name}["{column.name}"]',
            )
            for column in applied.view.columns
        ),
        consumers=tuple(consumers),
        readers=_few([one.name for one in consumers]),
        versions=tuple(versions),
        names=principal_names(snapshot, {one.applied_by for one in versions}),
        parities=parities.of(snapshot, principal, view),
        sampled=sample.entities,
        read_at=snapshot.now(),
        paste=f'{applied.view.name}["{applied.view.names[0]}"]' if len(applied.view.names) == 1 else applied.view.name,
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


def definition_of(view: FeatureView) -> str:
    """The declaration of `view` as it would be written."""
    keys, personal = view.entity.keys, ", personal=True" if view.entity.personal else ""
    if len(keys) == 1 and keys[0].name == view.entity.name:
        entity = f'Entity("{view.entity.name}", dtype="{keys[0].dtype}"{personal})'
    else:
        given = ", ".join(f"{_quoted(key.name)}: {_quoted(key.dtype)}" for key in keys)
        entity = f'Entity("{view.entity.name}", keys={{{given}}}{personal})'
    lines = [_quoted(view.name), entity, source_definition(view.source)]
    if view.is_aggregation:
        windows = ", ".join(f"Window({_quoted(window.length)})" for window in view.windows)
        lines += [f"aggregate={_aggregates(view)}", f"windows=[{windows}]"]
    else:
        lines.append(f"features=[{', '.join(_quoted(one.name) for one in view.features)}]")
    for name in ("ttl", "freshness", "owner", "description"):
        if text := getattr(view, name):
            lines.append(f"{name}={_quoted(text)}")
    if view.tags:
        lines.append(f"tags={{{', '.join(f'{_quoted(name)}: {_quoted(text)}' for name, text in view.tags)}}}")
    if view.personal:
        lines.append(f"personal=[{', '.join(map(_quoted, view.personal))}]")
    return "FeatureView(\n" + "".join(f"    {line},\n" for line in lines) + ")"


def _aggregates(view: FeatureView) -> str:
    functions = {item.name: f"[{', '.join(map(_quoted, item.functions))}]" for item in view.aggregate}
    if all(not item.where and item.name == item.column for item in view.aggregate):
        return "{" + ", ".join(f"{_quoted(name)}: {listed}" for name, listed in functions.items()) + "}"
    made = []
    for item in view.aggregate:
        where = f", where={_quoted(item.where)}" if item.where else ""
        name = f", name={_quoted(item.name)}" if item.name != item.column else ""
        made.append(f"Aggregate({_quoted(item.column)}, {functions[item.name]}{where}{name})")
    return f"[{', '.join(made)}]"


def _named_by(source: Source) -> str:
    match source:
        case Sql():
            return source.connection
        case Push():
            return source.name
    return source.path


def source_definition(source: Source) -> str:
    """The declaration of `source` as it would be written.

    >>> source_definition(Delta("sales", "at", version=3))
    'Delta("sales", timestamp="at", version=3)'
    """
    parts = [_quoted(_named_by(source))]
    if isinstance(source, Sql):
        parts.append(f"table={_quoted(source.table)}" if source.table else f"query={_quoted(source.query)}")
    parts += [f"{name}={_quoted(text)}" for name, text in (("timestamp", source.timestamp), ("created", source.created)) if text]
    if isinstance(source, Csv) and source.separator != ",":
        parts.append(f"separator={_quoted(source.separator)}")
    if isinstance(source, Csv | Sql | Push) and source.columns:
        parts.append(f"columns={{{', '.join(f'{_quoted(one.name)}: {_quoted(one.dtype)}' for one in source.columns)}}}")
    if isinstance(source, Delta) and source.version is not None:
        parts.append(f"version={source.version}")
    return f"{type(source).__name__}({', '.join(parts)})"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t") + '"'


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
