"""How users declare an on-demand feature: one decorator on a plain typed function of NumPy values. Owns how it is read.

The function's text is taken apart here, in the project's own environment; what may stand in it is the feature store's to say.
"""

import ast
import inspect
import textwrap
from collections.abc import Callable
from types import ModuleType
from typing import Any, ParamSpec, TypeVar

from modelyard.features.domain import DType, Feature, FeatureSelection, FeatureView, InvalidDeclaration, OnDemand
from modelyard.features.domain.columnwise import parsed, runnable
from modelyard.features.domain.types import find_dtype

P = ParamSpec("P")
R = TypeVar("R")
ATTRIBUTE = "__modelyard_on_demand__"
HEAD = "def ratio(delay_mean_1h: float, delay_mean_7d: float) -> float:"
HOMES = {"numpy": "np", "math": "math"}


def on_demand(function: Callable[P, R]) -> Callable[P, R]:
    """Notes that a function computes a feature of its own name, and gives back the function itself.

    Its parameters are the features, keys and request fields that it reads, each with its type: float, int, bool or str. It
    computes element by element, so that one value and a million give the same: operators, comparisons and NumPy's elementwise
    functions. Numbers and texts of its module count as part of it. Raises InvalidDeclaration with the line that does more.
    """
    if not inspect.isfunction(function):
        raise InvalidDeclaration("@on_demand is for a function", hint=HEAD)
    node, line = _read(function)
    inputs = _inputs(function)
    dtype = _dtype(function, "return")
    node.body = _without_docstring(node.body)
    named = _Named(function, node, line)
    node.body = [named.visit(step) for step in node.body]
    if not node.body:
        raise InvalidDeclaration(f"{node.name}, line {line}: the function computes nothing", hint=HEAD)
    runnable(node, {one.name: one.dtype for one in inputs if one.dtype}, dtype, line)
    node.decorator_list = []
    about = (inspect.getdoc(function) or "").split("\n")[0]
    declared = OnDemand(function.__name__, inputs, dtype, ast.unparse(node), description=about)
    setattr(function, ATTRIBUTE, declared)
    return function


def feature_of(item: Any) -> FeatureView | FeatureSelection | OnDemand:
    """What stands in a model's list of features. Raises InvalidDeclaration for what is none."""
    declared = getattr(item, ATTRIBUTE, None)
    if isinstance(declared, OnDemand):
        return declared
    if not isinstance(item, FeatureView | FeatureSelection | OnDemand):
        what = getattr(item, "__name__", type(item).__name__)
        raise InvalidDeclaration(
            f"{what} is no feature", hint="give a view, a selection such as weather['wind'], or an @on_demand function"
        )
    return item


def _read(function: Callable[..., Any]) -> tuple[ast.FunctionDef, int]:
    """The function's node, and the line of its file at which `def` stands."""
    try:
        lines, first = inspect.getsourcelines(function)
    except (OSError, TypeError) as error:
        raise InvalidDeclaration(
            f"the text of {function.__name__} cannot be read: {error}", hint="write the function in a module or a notebook's cell"
        ) from error
    node = parsed(textwrap.dedent("".join(lines)))
    return node, first + node.lineno - 1


def _inputs(function: Callable[..., Any]) -> tuple[Feature, ...]:
    return tuple(Feature(name, _dtype(function, name)) for name in inspect.signature(function).parameters)


def _dtype(function: Callable[..., Any], name: str) -> DType:
    said = function.__annotations__.get(name)
    found = None if said is None else find_dtype(said.rpartition(".")[2] if isinstance(said, str) else said)
    if found is None:
        what = "what it gives" if name == "return" else f"the type of {name}"
        shown = said if isinstance(said, str) else getattr(said, "__name__", repr(said))
        told = "does not say" if said is None else f"says {shown!r} for"
        raise InvalidDeclaration(f"{function.__name__} {told} {what}", hint=f"float, int, bool or str: {HEAD}")
    return found


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    first = body[0]
    is_text = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    return body[1:] if is_text else body


class _Named(ast.NodeTransformer):
    """Puts the module's numbers and texts where their names stand, and calls NumPy and math by one name each."""

    def __init__(self, function: Callable[..., Any], node: ast.FunctionDef, line: int) -> None:
        found = inspect.getclosurevars(function)
        self._known = {**found.globals, **found.nonlocals}
        self._own = {argument.arg for argument in node.args.args}
        self._name, self._offset = node.name, line - node.lineno

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        node.value = self.visit(node.value)
        self._own |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        return node

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if node.id in self._own or node.id not in self._known:
            return node
        value = self._known[node.id]
        if isinstance(value, ModuleType) and value.__name__ in HOMES:
            return ast.copy_location(ast.Name(HOMES[value.__name__], ast.Load()), node)
        if type(value) in (bool, int, float, str):
            return ast.copy_location(ast.Constant(value), node)
        raise InvalidDeclaration(
            f"{self._name}, line {self._offset + node.lineno}: {node.id} is a {type(value).__name__}, and the function can read "
            "numbers and texts of its module, np and math alone",
            hint="write its expression into the function, or make it an input",
        )
