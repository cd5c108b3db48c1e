"""Feature views and selections of them as users declare them. Owns their rules and their versions; reads no source."""

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import force_setattr, replace

from modelyard.core.clock import SECOND
from modelyard.core.digests import Digest, digest_of
from modelyard.core.names import nearest
from modelyard.features.domain.aggregations import Aggregate, Output, aggregates_of, online_error, outputs_of
from modelyard.features.domain.conditions import columns_of
from modelyard.features.domain.entities import Entity, Window, column_name, named, without_twins, worded
from modelyard.features.domain.errors import InvalidDeclaration, UnknownFeature
from modelyard.features.domain.sources import Source
from modelyard.features.domain.types import DType, DTypeLike, dtype_of, duration_text, duration_us, known_us

LONGEST_TAG = 400
SHORTEST_TURN_US = 60 * SECOND
"""How often a view may be brought online: whoever does it looks once a minute."""


class Feature(msgspec.Struct, frozen=True):
    """A column of values. A `dtype` that is not declared is read from the source when the view is applied."""

    name: str
    dtype: DType | None = None


class FeatureSelection(msgspec.Struct, frozen=True):
    """Some features of a view, in an order of their own."""

    view: "FeatureView"
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        """Raises UnknownFeature for a name that the view does not have, and InvalidDeclaration for none or twins."""
        if not self.names:
            raise InvalidDeclaration(f"nothing is selected of view {self.view.name}", hint=f'{self.view.name}["{self.view.names[0]}"]')
        checked_names(self.names, self.view.names, f"view {self.view.name}")
        without_twins(self.names, f"the selection of view {self.view.name}")

    @property
    def columns(self) -> tuple[Feature, ...]:
        """The selected features with their types, in order."""
        known = {column.name: column for column in self.view.columns}
        return tuple(known[name] for name in self.names)


class FeatureView(msgspec.Struct, frozen=True, omit_defaults=True):
    """Features of one entity from one source: its columns as they stand (`features`), or aggregated over windows.

    `ttl` is how old a value may be and still count (to the microsecond, inclusive; none: for ever). `freshness` is how
    far the newest event may lie back before monitoring says so, `every` how often it is brought online. `tags` are words to find
    it by, `personal` names the features (or aggregates) that say something of a person; none of these decides a value. An item is
    a selection: `view["a", "b"]`.

    >>> FeatureView("delays", Entity("origin"), Parquet("d.parquet", "at"), aggregate={"delay": ["mean"]}, windows=["1h"]).names
    ('delay_mean_1h',)
    """

    name: str
    entity: Entity
    source: Source
    features: tuple[Feature, ...] = ()
    aggregate: tuple[Aggregate, ...] = ()
    windows: tuple[Window, ...] = ()
    ttl: str | None = None
    freshness: str | None = None
    owner: str = ""
    description: str = ""
    tags: tuple[tuple[str, str], ...] = ()
    personal: tuple[str, ...] = ()
    every: str | None = None

    if TYPE_CHECKING:  # what users may write is wider than what is kept

        def __init__(  # noqa: PLR0913 - a declaration names each of its parts
            self,
            name: str,
            entity: Entity,
            source: Source,
            *,
            features: Sequence[str | Feature] | Mapping[str, DTypeLike] = (),
            aggregate: Mapping[str, Sequence[str]] | Sequence[Aggregate] = (),
            windows: Sequence[Window | str] = (),
            ttl: str | None = None,
            freshness: str | None = None,
            owner: str = "",
            description: str = "",
            tags: Mapping[str, str] | Sequence[tuple[str, str]] = (),
            personal: Sequence[str] = (),
            every: str | None = None,
        ) -> None: ...

    def __post_init__(self) -> None:
        """Brings the short forms into the one that is kept, and checks them. Raises InvalidDeclaration."""
        named(self.name, "feature view")
        for field in ("owner", "description"):
            worded(getattr(self, field), f"the {field} of view {self.name}")
        if not isinstance(self.entity, Entity) or not isinstance(self.source, Source):
            raise InvalidDeclaration(
                f"view {self.name} needs an Entity and a source", hint='FeatureView(name, entity, Parquet("...", ...))'
            )
        if not self.source.timestamp:
            raise InvalidDeclaration(
                f"view {self.name}: {self.source.place} has no column of event times",
                hint="name it: timestamp=...; rows without times are for models without views",
            )
        force_setattr(self, "features", _features(self.features, self.name))
        force_setattr(self, "aggregate", aggregates_of(self.aggregate, self.name))
        force_setattr(self, "windows", tuple(Window(one) if isinstance(one, str) else one for one in self.windows))
        for field in ("ttl", "freshness", "every"):
            text = getattr(self, field)
            length = duration_us(text, f"{field} of view {self.name}") if text is not None else 0
            force_setattr(self, field, duration_text(length) if length else None)
        force_setattr(self, "tags", _tags(self.tags, self.name))
        _check_every(self)
        _check_shape(self)
        force_setattr(self, "personal", _personal(self.personal, self))

    def __getitem__(self, names: str | tuple[str, ...]) -> FeatureSelection:
        """Some of its features, in that order. Raises UnknownFeature with the nearest name."""
        return FeatureSelection(self, (names,) if isinstance(names, str) else tuple(names))

    @property
    def is_aggregation(self) -> bool:
        """Whether its values are computed over windows."""
        return bool(self.aggregate)

    @property
    def outputs(self) -> tuple[Output, ...]:
        """What its windows give: by aggregate, function, window, in the order of declaration."""
        return outputs_of(self.aggregate, self.windows)

    @property
    def columns(self) -> tuple[Feature, ...]:
        """Its features with their types, in order."""
        return self.features or tuple(Feature(one.name, one.dtype) for one in self.outputs)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its features, in order."""
        return tuple(column.name for column in self.columns)

    @property
    def value_names(self) -> tuple[str, ...]:
        """What its rows hold besides keys and times: features, or a value for each aggregate under its name."""
        return tuple(item.name for item in self.aggregate) or self.names

    @property
    def source_columns(self) -> tuple[str, ...]:
        """The source's columns that it reads besides keys and times."""
        return tuple(dict.fromkeys(name for item in self.aggregate for name in item.read_columns)) or self.names

    @property
    def ttl_us(self) -> int | None:
        """How old a value may be, in microseconds; `None` without end."""
        return None if self.ttl is None else known_us(self.ttl)

    @property
    def freshness_us(self) -> int | None:
        """How far the newest event may lie back, in microseconds; `None` where nothing is promised."""
        return None if self.freshness is None else known_us(self.freshness)

    @property
    def every_us(self) -> int | None:
        """How often it is brought online, in microseconds; `None` where that follows from what it promises."""
        return None if self.every is None else known_us(self.every)

    @property
    def online_errors(self) -> dict[str, float]:
        """The features that need not be equal online and offline, by how far they may lie apart, as a share of the larger."""
        found = {one.name: online_error(one.function) for one in self.outputs}
        return {name: error for name, error in found.items() if error}

    @property
    def is_typed(self) -> bool:
        """Whether every feature has its type."""
        return all(one.dtype is not None for one in self.features) and all(one.dtype is not None for one in self.aggregate)

    @property
    def digest(self) -> Digest:
        """Its version: the digest of everything that decides values. Owner, words, tags, promises and whose data it is decide none."""
        return _version(self)

    @property
    def personal_names(self) -> tuple[str, ...]:
        """Its features that say something of a person, in order."""
        made = {one.name: one.column for one in self.outputs}
        return tuple(name for name in self.names if name in self.personal or made.get(name) in self.personal)


@functools.lru_cache(maxsize=1024)
def _version(view: FeatureView) -> Digest:
    entity = replace(view.entity, description="", personal=False)
    return digest_of(replace(view, owner="", description="", freshness=None, every=None, tags=(), personal=(), entity=entity))


def _check_every(view: FeatureView) -> None:
    every, promised = view.every_us, view.freshness_us
    if every is not None and every < SHORTEST_TURN_US:
        raise InvalidDeclaration(f"view {view.name} is brought online every {view.every}", hint='every="1m" is the shortest')
    if every is not None and promised is not None and every > promised:
        raise InvalidDeclaration(
            f"view {view.name} is brought online every {view.every} and promises a freshness of {view.freshness}",
            hint=f'every="{duration_text(promised // 2)}" leaves its source as long again, or leave it out',
        )


def checked_names(names: Sequence[str], known: Sequence[str], what: str) -> None:
    """Raises UnknownFeature for a name that `what` does not have, with the nearest one."""
    for name in names:
        if name not in known:
            raise UnknownFeature(f"{what} has no feature {str(name)[:60]!r}", hint=nearest(str(name), known))


def _features(given: Any, view: str) -> tuple[Feature, ...]:
    if isinstance(given, str):
        raise InvalidDeclaration(f"view {view}: features is a list of columns", hint=f"features=[{given!r}]")
    items = [Feature(name, dtype) for name, dtype in given.items()] if isinstance(given, Mapping) else list(given)
    features = [item if isinstance(item, Feature) else Feature(item) for item in items]
    return tuple(
        Feature(column_name(one.name, "a feature"), None if one.dtype is None else dtype_of(one.dtype, f"the feature {one.name!r}"))
        for one in features
    )


def _tags(given: Any, view: str) -> tuple[tuple[str, str], ...]:
    pairs = given.items() if isinstance(given, Mapping) else given
    try:
        tags = {column_name(name, "a tag"): text for name, text in pairs}
    except (TypeError, ValueError) as error:
        raise InvalidDeclaration(f"view {view}: tags are texts by name", hint='tags={"domain": "operations"}') from error
    wrong = [name for name, text in tags.items() if not isinstance(text, str) or len(text) > LONGEST_TAG or not text.isprintable()]
    if wrong:
        raise InvalidDeclaration(
            f"view {view}: the tag {wrong[0]!r} is no printable text of at most {LONGEST_TAG} characters",
            hint='tags={"domain": "operations"}',
        )
    return tuple(sorted(tags.items()))


def _personal(given: Any, view: FeatureView) -> tuple[str, ...]:
    if isinstance(given, str):
        raise InvalidDeclaration(f"view {view.name}: personal is a list of features", hint=f"personal=[{given!r}]")
    names = tuple(dict.fromkeys(given))
    checked_names(names, tuple(dict.fromkeys((*view.names, *view.value_names))), f"view {view.name}")
    return names


def _check_shape(view: FeatureView) -> None:
    if bool(view.features) == bool(view.aggregate):
        raise InvalidDeclaration(
            f"view {view.name} needs either features or aggregate",
            hint='features=["wind_speed"], or aggregate={"delay": ["mean"]} with windows',
        )
    if bool(view.windows) != bool(view.aggregate):
        raise InvalidDeclaration(f"view {view.name}: aggregate and windows go together", hint='windows=[Window("1h"), Window("7d")]')
    if view.aggregate and view.ttl is not None:
        raise InvalidDeclaration(f"view {view.name}: the windows say how far back it looks", hint="leave out ttl")
    lengths = [str(window.length_us) for window in view.windows]
    without_twins(lengths, f"view {view.name}: the windows' lengths in microseconds")
    keys = [key.name for key in view.entity.keys]
    without_twins(list(view.names), f"view {view.name}")
    without_twins([item.name for item in view.aggregate], f"view {view.name}: the aggregates' names")
    clash = sorted({*view.names, *view.value_names, *view.source.times} & set(keys)) or sorted(set(view.names) & set(view.source.times))
    if clash:
        raise InvalidDeclaration(
            f"view {view.name}: {clash[0]!r} is a key or a time and cannot be a feature",
            hint="leave it out, or give the aggregate a name of its own",
        )
    _check_times(view)


def _check_times(view: FeatureView) -> None:
    for item in view.aggregate:
        condition = item.condition
        read = {item.column, *(name for name, values in (columns_of(condition) if condition else {}).items() if values)}
        times = sorted(read & set(view.source.times))
        if times:
            raise InvalidDeclaration(
                f"view {view.name}: {item.name} aggregates or compares {times[0]!r}, a time of the source",
                hint="windows go by it; columns of numbers, texts and flags are aggregated and compared",
            )
