"""Feature sets: exactly what a model reads. Owns their order and their versions."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import force_setattr

from modelyard.core.digests import Digest, digest_of
from modelyard.features.domain.entities import Key, named
from modelyard.features.domain.errors import InvalidDeclaration
from modelyard.features.domain.on_demand import OnDemand
from modelyard.features.domain.types import DType
from modelyard.features.domain.views import Feature, FeatureSelection, FeatureView

MOST_ON_DEMAND = 64


class FeatureSet(msgspec.Struct, frozen=True, omit_defaults=True):
    """The exact features that a model reads, in order. Equal digests mean equal features, whatever the sets' names.

    Those that are computed on demand come behind those of views; one may read another that comes before it.

    >>> from modelyard.features.domain import Entity, Parquet
    >>> weather = FeatureView("weather", Entity("origin"), Parquet("w.parquet", "at"), features=["wind", "rain"])
    >>> FeatureSet("late", [weather["rain"]]).names
    ('rain',)
    """

    name: str
    features: tuple[FeatureSelection, ...]
    on_demand: tuple[OnDemand, ...] = ()

    if TYPE_CHECKING:  # what users may write is wider than what is kept

        def __init__(
            self, name: str, features: Sequence[FeatureView | FeatureSelection | OnDemand], on_demand: Sequence[OnDemand] = ()
        ) -> None: ...

    def __post_init__(self) -> None:
        """Turns whole views into selections of all they have. Raises InvalidDeclaration where two columns clash."""
        named(self.name, "feature set")
        computed = (*(item for item in self.features if isinstance(item, OnDemand)), *self.on_demand)
        read = [item for item in self.features if not isinstance(item, OnDemand)]
        parts = [item if isinstance(item, FeatureSelection) else FeatureSelection(item, item.names) for item in read]
        if not parts:
            what = "computes from no view" if computed else "is empty"
            raise InvalidDeclaration(f"feature set {self.name} {what}", hint="give it views, or selections such as weather['wind_speed']")
        force_setattr(self, "features", tuple(parts))
        force_setattr(self, "on_demand", computed)
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
        self._check_on_demand()

    def _check_on_demand(self) -> None:
        """Raises InvalidDeclaration where a function's name is taken, or an input is another type than the column of its name."""
        known: dict[str, DType | None] = {column.name: column.dtype for part in self.features for column in part.columns}
        known |= {key.name: key.dtype for key in self.keys}
        if len(self.on_demand) > MOST_ON_DEMAND:
            raise InvalidDeclaration(
                f"feature set {self.name} computes {len(self.on_demand)} features on demand", hint=f"at most {MOST_ON_DEMAND} are taken"
            )
        later = {one.name for one in self.on_demand}
        asked: dict[str, DType | None] = {}
        for one in self.on_demand:
            if one.name in known or one.name in asked:
                raise InvalidDeclaration(f"feature set {self.name}: {one.name!r} stands twice", hint="give the function another name")
            for need in one.inputs:
                if need.name in later and need.name not in known:
                    raise InvalidDeclaration(
                        f"{one.name} reads {need.name}, which comes after it", hint=f"put {need.name} before {one.name}"
                    )
                found = known[need.name] if need.name in known else asked.setdefault(need.name, need.dtype)
                # Both read one field of the request; the narrower type is the field's.
                if need.name not in known and {found, need.dtype} == {"int64", "float64"}:
                    found = asked[need.name] = "int64"
                if found not in (None, need.dtype) and (found, need.dtype) != ("int64", "float64"):
                    raise InvalidDeclaration(
                        f"{one.name} reads {need.name} as {need.dtype}, and it is {found}", hint=f"declare the parameter as {found}"
                    )
            known[one.name] = one.dtype

    @property
    def columns(self) -> tuple[Feature, ...]:
        """All features with their types, in order."""
        computed = (Feature(one.name, one.dtype) for one in self.on_demand)
        return (*(column for part in self.features for column in part.columns), *computed)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all features, in order."""
        return (*(name for part in self.features for name in part.names), *(one.name for one in self.on_demand))

    @property
    def request(self) -> tuple[Feature, ...]:
        """What its functions read of a request beside keys: the inputs that are no features, each once."""
        known = {*self.names, *(key.name for key in self.keys)}
        found: dict[str, DType | None] = {}
        for need in (need for one in self.on_demand for need in one.inputs if need.name not in known):
            found[need.name] = "int64" if "int64" in (found.get(need.name), need.dtype) else need.dtype
        return tuple(Feature(name, dtype) for name, dtype in found.items())

    @property
    def read(self) -> "FeatureSet":
        """What it reads of views alone, without what is computed from it."""
        return FeatureSet(self.name, self.features) if self.on_demand else self

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
        """Its version: the views' versions and the columns taken of each, in order, then the functions' versions."""
        return digest_of([*([part.view.digest, list(part.names)] for part in self.features), *(one.digest for one in self.on_demand)])
