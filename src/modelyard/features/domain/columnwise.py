"""Which Python an on-demand feature may be: typed expressions over columns, by NumPy's elementwise functions alone.

Owns the rules and the code that is run: it is built here node by node, and nothing that a project wrote gets into it but names
and numbers. Runs nothing and loads no NumPy. What is not named below is refused.
"""

import ast
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

from modelyard.core.digests import SAFE_INTEGER
from modelyard.core.names import nearest
from modelyard.features.domain.errors import InvalidDeclaration
from modelyard.features.domain.types import DType

LONGEST_SOURCE = 8_000
MOST_NODES = 600
DEEPEST = 40
LONGEST_TEXT = 200

FLOATS = frozenset(
    ("sqrt", "cbrt", "exp", "exp2", "expm1", "log", "log1p", "log2", "log10", "sin", "cos", "tan", "arcsin", "arccos", "arctan",
     "sinh", "cosh", "tanh", "arcsinh", "arccosh", "arctanh", "radians", "degrees", "deg2rad", "rad2deg")
)  # fmt: skip
"""Of one number, a float."""
PAIRS = frozenset(("hypot", "arctan2"))
"""Of two numbers, a float."""
ROUNDED = frozenset(("floor", "ceil", "trunc", "rint"))
"""Of a float, a float."""
KEPT = frozenset(("abs", "absolute", "negative", "sign", "square"))
"""Of one number, one of its type."""
CHOSEN = frozenset(("maximum", "minimum"))
"""Of two numbers, one of their type. Not fmax and fmin: which zero they give of 0.0 and -0.0 differs between one element and many."""
TESTS = frozenset(("isnan", "isinf", "isfinite"))
"""Of a float, a flag."""
LOGIC = {"logical_and": 2, "logical_or": 2, "logical_xor": 2, "logical_not": 1}
"""Of so many flags, a flag."""
FUNCTIONS = FLOATS | PAIRS | ROUNDED | KEPT | CHOSEN | TESTS | frozenset(LOGIC) | {"where", "clip"}
CONSTANTS = {
    "np": {"pi": math.pi, "e": math.e, "inf": math.inf, "nan": math.nan},
    "math": {"pi": math.pi, "e": math.e, "tau": math.tau, "inf": math.inf, "nan": math.nan},
}
_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul,
    ast.Div: operator.truediv, ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod,
}  # fmt: skip
_FLAGS = (ast.BitAnd, ast.BitOr, ast.BitXor)
_ORDER = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)
_EQUAL = (ast.Eq, ast.NotEq)
_NUMBERS = ("int64", "float64")
_INSTEAD: dict[type[ast.AST], str] = {
    ast.IfExp: "np.where(condition, a, b) chooses element by element",
    ast.If: "np.where(condition, a, b) chooses element by element",
    ast.BoolOp: "join conditions by & and |, each in parentheses: (a > 0) & (b > 0)",
    ast.Not: "~condition is its opposite",
    ast.Pow: "write x * x, np.square(x), np.sqrt(x), or np.exp(y * np.log(x)): powers round otherwise for one element than for many",
    ast.AugAssign: "write x = x + 1: a column is never changed in place",
    ast.For: "a function is of whole columns: leave out the loop",
    ast.While: "a function is of whole columns: leave out the loop",
    ast.Subscript: "each value is computed from its own row alone",
    ast.JoinedStr: "texts are compared, not made",
    ast.Import: "np and math are there; import them at the top of the module",
    ast.ImportFrom: "np and math are there; import them at the top of the module",
}


_OTHERWISE: dict[tuple[DType, bool], str] = {
    ("bool", False): "np.where(flag, 1.0, 0.0) makes a number of a flag",
    ("int64", False): "whole * 1.0 is a float",
    ("int64", True): "a comparison gives a flag: whole != 0",
    ("float64", True): "a comparison gives a flag: number > 0.0",
    ("string", False): "a text can be compared with == and !=",
    ("string", True): "a comparison gives a flag: text == 'JFK'",
}
"""What to write where one type stands, by whether a flag is asked for."""


class Term(NamedTuple):
    """A part of the code to run: its type, the node that computes it, and its value where that is known already."""

    dtype: DType
    node: ast.expr
    literal: float | int | bool | str | None = None


def parsed(source: str) -> ast.FunctionDef:
    """The one function that `source` defines. Raises InvalidDeclaration."""
    if len(source) > LONGEST_SOURCE:
        raise InvalidDeclaration(f"an on-demand function has {len(source)} characters, at most {LONGEST_SOURCE} are taken", hint="split it")
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise InvalidDeclaration(f"an on-demand function is not Python: {type(error).__name__}", hint="write one function") from error
    if len(body) != 1 or not isinstance(body[0], ast.FunctionDef):
        raise InvalidDeclaration("an on-demand feature is one function", hint="def ratio(a: float, b: float) -> float: return a / b")
    return body[0]


def runnable(function: ast.FunctionDef, inputs: Mapping[str, DType], dtype: DType, first_line: int = 1) -> ast.Module:
    """A module with the function `computed`, which does what `function` says with columns and single values alike.

    `first_line` is where the function stands in its file, for the messages. Raises InvalidDeclaration with the place.
    """
    return _Builder(function, dict(inputs), first_line).module(dtype)


class _Builder:
    """Walks a function once, with what its names stand for, and builds the code to run."""

    def __init__(self, function: ast.FunctionDef, inputs: dict[str, DType], first_line: int) -> None:
        self._function = function
        self._inputs = tuple(inputs)
        self._known = {name: Term(dtype, ast.Name(_own(name), ast.Load())) for name, dtype in inputs.items()}
        self._offset = first_line - function.lineno
        self._nodes = 0

    def module(self, dtype: DType) -> ast.Module:
        """The module. Raises InvalidDeclaration."""
        self._check_head()
        *steps, last = self._function.body
        statements: list[ast.stmt] = [self._assigned(step) for step in steps]
        if not isinstance(last, ast.Return) or last.value is None:
            self._refuse(last, "is not the value that the function gives", "end with return and one expression")
        found = self._term(last.value, 0)
        if found.dtype != dtype and (found.dtype, dtype) != ("int64", "float64"):
            self._refuse(last, f"gives {found.dtype}, and the function says {dtype}", "let it say what it gives: -> float, int or bool")
        statements.append(ast.Return(value=found.node))
        made = parsed(f"def computed({', '.join(map(_own, self._inputs))}): pass")
        made.body = statements
        return ast.fix_missing_locations(ast.Module(body=[made], type_ignores=[]))

    def _check_head(self) -> None:
        given = self._function.args
        if given.posonlyargs or given.kwonlyargs or given.vararg or given.kwarg or given.defaults:
            self._refuse(self._function, "has parameters of other kinds", "name each input once, without defaults")
        if tuple(argument.arg for argument in given.args) != self._inputs:
            self._refuse(self._function, "has other parameters than inputs", f"its inputs are {', '.join(self._inputs)}")

    def _assigned(self, step: ast.stmt) -> ast.stmt:
        if not isinstance(step, ast.Assign) or len(step.targets) != 1 or not isinstance(step.targets[0], ast.Name):
            self._refuse(
                step, "is not an assignment to one name", _INSTEAD.get(type(step), "write name = expression, and return at the end")
            )
        name = step.targets[0].id
        if name in CONSTANTS or name.startswith("__"):
            self._refuse(step, "names something else", "give the value a name of its own")
        found = self._term(step.value, 0)
        self._known[name] = found if found.literal is not None else Term(found.dtype, ast.Name(_own(name), ast.Load()))
        return ast.Assign(targets=[ast.Name(_own(name), ast.Store())], value=found.node)

    def _term(self, node: ast.expr, depth: int) -> Term:
        self._nodes += 1
        if self._nodes > MOST_NODES or depth > DEEPEST:
            self._refuse(node, f"goes beyond {MOST_NODES} parts or {DEEPEST} levels", "split the function in two")
        builder = _BUILDERS.get(type(node))
        if builder is None:
            self._refuse(node, "is not elementwise arithmetic", _INSTEAD.get(type(node), "use operators, comparisons and functions of np"))
        return builder(self, node, depth + 1)

    def _name(self, node: ast.Name, depth: int) -> Term:
        if node.id not in self._known:
            self._refuse(node, "is no input, no value named before and no number of the module", nearest(node.id, self._known))
        return self._known[node.id]

    def _constant(self, node: ast.Constant, depth: int) -> Term:
        value = node.value
        if not isinstance(value, bool | int | float | str):
            self._refuse(node, "is neither number, text nor flag", "a missing value is np.nan")
        return self._literal(node, value)

    def _literal(self, node: ast.expr, value: float | bool | str) -> Term:
        """A value that is known now. A number is finite and a whole one within what every reader of JSON can hold."""
        if isinstance(value, str) and len(value) > LONGEST_TEXT:
            self._refuse(node, f"is longer than {LONGEST_TEXT} characters", "compare with a shorter text")
        if isinstance(value, int) and abs(value) > SAFE_INTEGER:
            self._refuse(node, "lies beyond 2**53 - 1", "write it as a float")
        if isinstance(value, float) and not math.isfinite(value):
            self._refuse(node, "is not finite", "np.inf and np.nan are numbers, too")
        dtype: DType = {bool: "bool", int: "int64", float: "float64", str: "string"}[type(value)]  # type: ignore[assignment]  # its values are
        return Term(dtype, ast.Constant(value), value)

    def _attribute(self, node: ast.Attribute, depth: int) -> Term:
        home = node.value.id if isinstance(node.value, ast.Name) and node.value.id not in self._known else ""
        value = CONSTANTS.get(home, {}).get(node.attr)
        if value is None:
            self._refuse(
                node, "is an attribute that is not read", f"of np: {', '.join(CONSTANTS['np'])}, and functions where they are called"
            )
        # Not finite, so no literal: a name that the code finds as a NumPy number.
        return Term("float64", ast.Name(f"np_{node.attr}", ast.Load())) if node.attr in ("inf", "nan") else self._literal(node, value)

    def _binary(self, node: ast.BinOp, depth: int) -> Term:
        if isinstance(node.op, ast.Pow):
            self._refuse(node, "is a power", _INSTEAD[ast.Pow])
        left, right = self._term(node.left, depth), self._term(node.right, depth)
        if isinstance(node.op, _FLAGS):
            self._check_all(node, (left, right), ("bool",), "joins flags")
            return Term("bool", ast.BinOp(_strong(left), node.op, _strong(right)))
        if type(node.op) not in _ARITHMETIC:
            self._refuse(node, "is no arithmetic of columns", "use + - * / // %")
        self._check_all(node, (left, right), _NUMBERS, "computes with numbers")
        if left.literal is not None and right.literal is not None:
            return self._folded(node, _ARITHMETIC[type(node.op)], left.literal, right.literal)
        is_whole = left.dtype == right.dtype == "int64" and not isinstance(node.op, ast.Div)
        return Term("int64" if is_whole else "float64", ast.BinOp(left.node, node.op, right.node))

    def _folded(self, node: ast.expr, compute: Callable[..., Any], *values: Any) -> Term:
        try:
            return self._literal(node, compute(*values))
        except ArithmeticError:
            self._refuse(node, "has no value", "write the number itself")

    def _unary(self, node: ast.UnaryOp, depth: int) -> Term:
        if isinstance(node.op, ast.Not):
            self._refuse(node, "asks for one truth value", _INSTEAD[ast.Not])
        found = self._term(node.operand, depth)
        if isinstance(node.op, ast.Invert):
            self._check_all(node, (found,), ("bool",), "is the opposite of a flag")
            return Term("bool", ast.UnaryOp(ast.Invert(), _strong(found)))
        self._check_all(node, (found,), _NUMBERS, "computes with numbers")
        if found.literal is not None:
            return self._folded(node, operator.neg if isinstance(node.op, ast.USub) else operator.pos, found.literal)
        return Term(found.dtype, ast.UnaryOp(node.op, found.node))

    def _compared(self, node: ast.Compare, depth: int) -> Term:
        if len(node.ops) != 1 or not isinstance(node.ops[0], (*_ORDER, *_EQUAL)):
            self._refuse(node, "is not one comparison of values", "use == != < <= > >= once: (a < b) & (b < c)")
        operation = node.ops[0]
        left, right = self._term(node.left, depth), self._term(node.comparators[0], depth)
        if left.literal is not None and right.literal is not None:
            self._refuse(node, "compares two constants", "compare with an input")
        kinds = {left.dtype, right.dtype}
        if kinds == {"string"} and isinstance(operation, _EQUAL):
            equal = _called("text_equal", [left.node, right.node])
            return Term("bool", equal if isinstance(operation, ast.Eq) else ast.UnaryOp(ast.Invert(), equal))
        if not (kinds <= set(_NUMBERS) or (kinds == {"bool"} and isinstance(operation, _EQUAL))):
            self._refuse(
                node, f"compares {left.dtype} with {right.dtype}", "compare numbers with numbers; texts and flags are equal or not"
            )
        return Term("bool", ast.Compare(left.node, [operation], [right.node]))

    def _call(self, node: ast.Call, depth: int) -> Term:
        name = self._called_name(node)
        if node.keywords or any(isinstance(argument, ast.Starred) for argument in node.args):
            self._refuse(node, "is called with more than values", f"np.{name} takes its values in order, and nothing by keyword")
        wanted = 3 if name in ("where", "clip") else 2 if name in PAIRS | CHOSEN else LOGIC.get(name, 1)
        if len(node.args) != wanted:
            self._refuse(node, f"has {len(node.args)} values", f"np.{name} takes {wanted}")
        terms = [self._term(argument, depth) for argument in node.args]
        if name == "where":
            return self._where(node, terms)
        takes = ("bool",) if name in LOGIC else ("float64",) if name in TESTS | ROUNDED else _NUMBERS
        self._check_all(node, terms, takes, f"takes {' or '.join(takes)}")
        is_whole = all(term.dtype == "int64" for term in terms) and name in KEPT | CHOSEN | {"clip"}
        dtype: DType = "bool" if name in TESTS or name in LOGIC else "int64" if is_whole else "float64"
        return Term(dtype, _called(f"np_{name}", [term.node for term in terms]))

    def _called_name(self, node: ast.Call) -> str:
        called = node.func
        home = called.value.id if isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name) else ""
        if not isinstance(called, ast.Attribute) or home not in CONSTANTS or home in self._known:
            self._refuse(node, "is no function of np", "call np's elementwise functions; what else it needs is an input or a number")
        if home == "math":
            self._refuse(node, "takes one value only", f"np.{_twin(called.attr)} takes columns, too")
        if called.attr not in FUNCTIONS:
            near = _INSTEAD[ast.Pow] if "pow" in called.attr else nearest(called.attr, sorted(FUNCTIONS))
            self._refuse(node, "is not among the functions that work element by element", f"{near}; docs/features.md names them all")
        return called.attr

    def _where(self, node: ast.Call, terms: Sequence[Term]) -> Term:
        condition, *branches = terms
        self._check_all(node, (condition,), ("bool",), "chooses by a flag")
        kinds = {term.dtype for term in branches}
        if "string" in kinds or ("bool" in kinds and len(kinds) > 1):
            self._refuse(node, "chooses between values of unlike types", "let both be numbers, or both be flags")
        dtype: DType = "float64" if len(kinds) > 1 else branches[0].dtype
        return Term(dtype, _called("np_where", [_strong(condition), *(_strong(_widened(term, dtype)) for term in branches)]))

    def _check_all(self, node: ast.expr, terms: Sequence[Term], kinds: Sequence[str], what: str) -> None:
        wrong = next((term for term in terms if term.dtype not in kinds), None)
        if wrong is not None:
            self._refuse(node, f"{what}, and is given {wrong.dtype}", _OTHERWISE[wrong.dtype, "bool" in kinds])

    def _refuse(self, node: ast.AST, why: str, hint: str) -> NoReturn:
        line = getattr(node, "lineno", self._function.lineno) + self._offset
        try:
            shown = self._function.name if isinstance(node, ast.FunctionDef) else ast.unparse(node).split("\n")[0]
        except RecursionError:
            shown = "..."
        raise InvalidDeclaration(f"{self._function.name}, line {line}: {shown[:80]!r} {why}", hint=hint)


_BUILDERS: dict[type[ast.expr], Callable[[_Builder, Any, int], Term]] = {
    ast.Name: _Builder._name,
    ast.Constant: _Builder._constant,
    ast.Attribute: _Builder._attribute,
    ast.BinOp: _Builder._binary,
    ast.UnaryOp: _Builder._unary,
    ast.Compare: _Builder._compared,
    ast.Call: _Builder._call,
}


def _own(name: str) -> str:
    """A project's name as the code has it: none can be that of a function."""
    return f"v_{name}"


def _called(name: str, arguments: list[ast.expr]) -> ast.expr:
    return ast.Call(ast.Name(name, ast.Load()), arguments, [])


def _strong(term: Term) -> ast.expr:
    """The term as a NumPy value: Python's own numbers divide by zero and turn flags into other numbers than columns do."""
    if term.literal is None or term.dtype == "string":
        return term.node
    return _called(f"np_{term.dtype}", [term.node])


def _widened(term: Term, dtype: DType) -> Term:
    if term.dtype == dtype:
        return term
    if term.literal is not None:
        return Term(dtype, ast.Constant(float(term.literal)), float(term.literal))
    return Term(dtype, ast.BinOp(term.node, ast.Mult(), ast.Constant(1.0)))


def _twin(name: str) -> str:
    """The function of np that does what math's does."""
    return name if name in FUNCTIONS else {"fabs": "abs", "pow": "square", "atan2": "arctan2"}.get(name, "sqrt")
