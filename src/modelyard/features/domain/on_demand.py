"""On-demand features as they are declared: a function of other features, keys and the request, and its version.

Owns what a declaration of one is; whether its function may be run is `columnwise`'s to say, and running it is `features.on_demand`'s.
"""

import ast
import functools

import msgspec
from msgspec.structs import force_setattr, replace

from modelyard.core.digests import Digest, digest_of
from modelyard.features.domain.columnwise import parsed, runnable
from modelyard.features.domain.entities import column_name, named, without_twins
from modelyard.features.domain.errors import InvalidDeclaration
from modelyard.features.domain.types import DType
from modelyard.features.domain.views import Feature

MOST_INPUTS = 32


class OnDemand(msgspec.Struct, frozen=True, omit_defaults=True):
    """A feature that is computed when it is asked for. Its inputs are other features, keys and fields of the request, by name.

    `source` is one function of NumPy's elementwise functions alone: whatever else it says, no value of this type exists.

    >>> inputs = (Feature("a", "float64"), Feature("b", "int64"))
    >>> ratio = OnDemand("ratio", inputs, "float64", "def ratio(a, b): return a / np.maximum(b, 1)")
    >>> ratio.source
    'def ratio(a, b):\\n    return a / np.maximum(b, 1)'
    """

    name: str
    inputs: tuple[Feature, ...]
    dtype: DType
    source: str
    description: str = ""

    def __post_init__(self) -> None:
        """Brings the source into one form and checks it. Raises InvalidDeclaration."""
        named(self.name, "on-demand feature")
        if not 0 < len(self.inputs) <= MOST_INPUTS:
            raise InvalidDeclaration(f"{self.name} has {len(self.inputs)} inputs", hint=f"give it 1 to {MOST_INPUTS}, by name")
        without_twins([one.name for one in self.inputs], f"the inputs of {self.name}")
        for one in self.inputs:
            column_name(one.name, f"an input of {self.name}")
            if one.dtype is None:
                raise InvalidDeclaration(f"the type of {one.name!r} is not said", hint=f"def {self.name}({one.name}: float, ...)")
        if self.dtype == "string":
            raise InvalidDeclaration(f"{self.name} gives a text", hint="let it give a number or a flag: -> float, int or bool")
        force_setattr(self, "source", _checked(self.source, self.name, self.inputs, self.dtype))

    @property
    def dtypes(self) -> dict[str, DType]:
        """The inputs' types, in order."""
        return {one.name: one.dtype for one in self.inputs if one.dtype is not None}

    @property
    def digest(self) -> Digest:
        """Its version: the function with its types and numbers. Comments and its description are no part of it."""
        return _version(self)


@functools.lru_cache(maxsize=1024)
def _checked(source: str, name: str, inputs: tuple[Feature, ...], dtype: DType) -> str:
    """The source in its one form. A gateway reads its assignment again and again, so what was found is remembered."""
    function = parsed(source)
    if function.name != name:
        raise InvalidDeclaration(f"{name} is the function {function.name[:60]}", hint="a feature has the name of its function")
    function.decorator_list, function.returns = [], None
    for argument in function.args.args:
        argument.annotation = None
    runnable(function, {one.name: one.dtype for one in inputs if one.dtype is not None}, dtype)
    return ast.unparse(function)


@functools.lru_cache(maxsize=1024)
def _version(function: OnDemand) -> Digest:
    return digest_of(replace(function, description=""))
