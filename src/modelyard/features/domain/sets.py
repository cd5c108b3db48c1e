"""Feature sets: exactly what a model reads. Owns their order and their versions."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import force_setattr

from modelyard.core.digests import Digest, digest_of
from modelyard.features.domain.entities import Key, named
from modelyard.features.domain.errors import InvalidDeclaration
from modelyard.features.domain.views import Feature, FeatureSelection, FeatureView


class FeatureSet(msgspec.Struct, frozen=True):
    """The exact features that a model reads, in order. Equal digests mean equal features, whatever the sets' names.

    >>> from modelyard.features.domain import Entity, Parquet
    >>> weather = FeatureView("weather", Entity("origin"), Parquet("w.parquet", "at"), features=["wind", "rain"])
    >>> FeatureSet("late", [weather["rain"]]).names
    ('rain',)
    """

    name: str
    features: tuple[FeatureSelection, ...]

    if TYPE_CHECKING:  # what users may write is wider than what is kept

        def __init__(self, name: str, features: Sequence[FeatureView | FeatureSelection]) -> None: ...

    def __post_init__(self) -> None:
        """Turns whole views into selections of all they have. Raises InvalidDeclaration where two columns clash."""
        named(self.name, "feature set")
        parts = [item if isinstance(item, FeatureSelection) else FeatureSelection(item, item.names) for item in self.features]
        if not parts:
            raise InvalidDeclaration(f"feature set {self.name} is empty", hint="give it views, or selections such as weather['wind_speed']")
        force_setattr(self, "features", tuple(parts))
        owners: dict[str, str] = {}
        for part in parts:
            for name in part.names:
                if name in owners:
                    raise InvalidDeclaration(
                        f"feature set {self.name}: {name!r} comes from {owners[name]} and from {part.view.name}",
                        hint=f"select what is needed of one of them: {part.view.name}[...]",
                    )
                owners[name] = part.view.name
        dtypes: dict[str, str] = {}
        for key in (key for part in parts for key in part.view.entity.keys):
            if key.name in owners or dtypes.setdefault(key.name, key.dtype) != key.dtype:
                raise InvalidDeclaration(
                    f"feature set {self.name}: the key {key.name!r} is also something else",
                    hint="keys of one name have one type, and no feature their name",
                )

    @property
    def columns(self) -> tuple[Feature, ...]:
        """All features with their types, in order."""
        return tuple(column for part in self.features for column in part.columns)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all features, in order."""
        return tuple(name for part in self.features for name in part.names)

    @property
    def keys(self) -> tuple[Key, ...]:
        """The key columns of all its entities, each once."""
        return tuple(dict.fromkeys(key for part in self.features for key in part.view.entity.keys))

    @property
    def views(self) -> tuple[FeatureView, ...]:
        """The views that it reads, each once, in order."""
        return tuple(dict.fromkeys(part.view for part in self.features))

    @property
    def personal_names(self) -> tuple[str, ...]:
        """Its features that say something of a person, in order."""
        return tuple(name for part in self.features for name in part.names if name in part.view.personal_names)

    @property
    def digest(self) -> Digest:
        """Its version: the views' versions and the columns taken of each, in order."""
        return digest_of([[part.view.digest, list(part.names)] for part in self.features])
