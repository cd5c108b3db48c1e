"""How an estimator is written down in Python again, from what a run says of it. Runs nothing that a run says.

A run's texts are parsed and never evaluated: what is written is made of names that were checked and of literals.
"""

import ast
import importlib
import inspect
import keyword
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import msgspec

DISTRIBUTIONS = {"sklearn": "scikit-learn", "lightgbm": "lightgbm"}
"""By the package that an estimator is imported from, the distribution that has it: those whose models have a safe format here."""
MOST_DEPTH = 8
SKLEARN_MODULES = (
    *("linear_model", "ensemble", "tree", "svm", "neighbors", "naive_bayes", "neural_network", "discriminant_analysis", "dummy"),
    *("preprocessing", "impute", "decomposition", "feature_selection", "kernel_approximation", "random_projection", "pipeline"),
    *("calibration", "gaussian_process", "isotonic", "kernel_ridge", "cross_decomposition", "experimental"),
)
"""Where the classes of a pipeline are looked for that a run names without their modules."""
OTHER_MODULES = (
    *("cluster", "compose", "covariance", "feature_extraction", "manifold", "mixture", "model_selection", "multiclass", "multioutput"),
    "semi_supervised",
)
"""Where further estimators are. All other modules have what reads files and addresses, `sklearn.datasets` above all."""
LIGHTGBM_ESTIMATOR = "LGBM"
"""How the names of LightGBM's estimators begin. Its boosters and data sets are made from files."""
LIGHTGBM_NAMES = {"num_boost_round": "n_estimators", "num_threads": "n_jobs"}
"""What MLflow's autologging of LightGBM calls two params of its estimators."""

Literal = int | float | str | bool | None


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """An estimator: its class, the module that it is imported from, and its arguments by name."""

    name: str
    module: str
    arguments: tuple[tuple[str, Any], ...] = ()

    def __post_init__(self) -> None:
        """Raises NotWritable for one with a folder to keep what it computes in: what lies there is unpickled again."""
        if any(key == "memory" and value is not None for key, value in self.arguments):
            raise NotWritable("it keeps what it computes in a folder")

    @property
    def imports(self) -> set[tuple[str, str]]:
        """The modules and names that its text needs."""
        return {(self.module, self.name)}.union(*(one.imports for one in _calls(value for _, value in self.arguments)))

    @property
    def package(self) -> str:
        """The package that it comes from."""
        return self.module.partition(".")[0]


class NotWritable(ValueError):
    """What a run says of its estimator cannot be written down; the message says why."""


def parsed(expression: str, modules: Mapping[str, str]) -> Call:
    """The estimator that an expression such as `LogisticRegression(C=0.5)` makes. Raises NotWritable.

    >>> parsed("LGBMClassifier(num_leaves=9)", {"LGBMClassifier": "lightgbm.sklearn"}).arguments
    (('num_leaves', 9),)
    """
    try:
        body = ast.parse(expression, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise NotWritable("its expression is no Python") from error
    found = _value(body, modules, 0)
    if not isinstance(found, Call):
        raise NotWritable("its expression makes no estimator")
    return found


def logged(path: str, params: Mapping[str, str], pinned: Mapping[str, str]) -> Call:
    """The estimator of a class that autologging named, with its params but the defaults. Raises NotWritable.

    `pinned` are the run's versions by distribution: defaults of another version than the run's say nothing, so all params stand.
    """
    module, name = public_module(path), path.rpartition(".")[2]
    if name == "Pipeline":
        return parsed(f"Pipeline(steps={params.get('steps', '')})", {"Pipeline": module})
    defaults = _defaults(module, name, pinned)
    if module == "lightgbm":
        params = {LIGHTGBM_NAMES.get(key, key): value for key, value in params.items() if value not in ("binary", "regression")}
    words = []
    for key, text in sorted(params.items()):
        value = literal(text)
        if "__" in key or (defaults is not None and (key not in defaults or _is(defaults[key], value))):
            continue
        if defaults is None and not is_free_name(key):
            continue
        words.append((key, parsed(text, {}) if isinstance(value, str) and ("(" in text or "<" in text) else value))
    return Call(name=_class_name(name), module=module, arguments=tuple(words))


def public_module(path: str) -> str:
    """The module that users import a class from: up to the first private part, of a library whose models have a safe format.

    >>> public_module("sklearn.linear_model._logistic.LogisticRegression")
    'sklearn.linear_model'
    """
    *parts, name = path.split(".")
    is_lightgbm = parts[:1] == ["lightgbm"] and name.startswith(LIGHTGBM_ESTIMATOR)
    is_sklearn = parts[:1] == ["sklearn"] and parts[1:2] and parts[1] in (*SKLEARN_MODULES, *OTHER_MODULES) and name[:1].isupper()
    if not (is_lightgbm or is_sklearn) or not all(is_free_name(one.lstrip("_")) for one in parts):
        raise NotWritable(f"{path[:80]!r} is no estimator of {' or '.join(sorted(DISTRIBUTIONS.values()))}")
    if is_lightgbm:
        return "lightgbm"
    return ".".join(parts[: next((place for place, one in enumerate(parts) if one.startswith("_")), len(parts))])


def literal(text: str) -> Any:
    """What a param's text stands for: a Python literal, else the text itself.

    >>> literal("0.5"), literal("lbfgs"), literal("None"), literal("[1, 2]")
    (0.5, 'lbfgs', None, [1, 2])
    """
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        return float(text) if text in ("nan", "inf", "-inf") else text


def is_free_name(text: str) -> bool:
    """Whether a text can name a param in Python."""
    return text.isidentifier() and text.isascii() and not keyword.iskeyword(text) and not text.startswith("_")


def written(value: Any, names: Mapping[str, str]) -> str:
    """Python's text of a value; arguments of the outermost call that `names` has stand by that name."""
    if isinstance(value, Call):
        return f"{value.name}({', '.join(f'{key}={names.get(key) or written(one, {})}' for key, one in value.arguments)})"
    if isinstance(value, list | tuple):
        inner = ", ".join(written(one, {}) for one in value)
        return f"[{inner}]" if isinstance(value, list) else f"({inner}{',' if len(value) == 1 else ''})"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{written(key, {})}: {written(one, {})}" for key, one in value.items()) + "}"
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return f'float("{value}")'
    return quoted(value) if isinstance(value, str) else repr(value)


def quoted(text: str) -> str:
    """A text as Python's literal, in double quotes where it needs no escapes.

    >>> quoted("late"), quoted('a"b')
    ('"late"', '\'a"b\'')
    """
    return f'"{text}"' if repr(text) == f"'{text}'" and '"' not in text else repr(text)


def installed(package: str) -> str:
    """The version of a package's distribution in this process; empty where it is not installed."""
    try:
        return version(DISTRIBUTIONS[package])
    except PackageNotFoundError:
        return ""


def _calls(values: Any) -> Iterator[Call]:
    for one in values:
        if isinstance(one, Call):
            yield one
        elif isinstance(one, list | tuple):
            yield from _calls(one)


def _value(node: ast.expr, modules: Mapping[str, str], depth: int) -> Any:
    if depth > MOST_DEPTH:
        raise NotWritable("it nests too deep")
    match node:
        case ast.Call(func=ast.Name(id=name), args=[], keywords=keywords):
            words = tuple((str(one.arg), _value(one.value, modules, depth + 1)) for one in keywords)
            if not all(is_free_name(key) for key, _ in words):
                raise NotWritable("it unpacks arguments")
            return Call(name=_class_name(name), module=_home(name, modules), arguments=words)
        case ast.List(elts=elements):
            return [_value(one, modules, depth + 1) for one in elements]
        case ast.Tuple(elts=elements):
            return tuple(_value(one, modules, depth + 1) for one in elements)
        case ast.Name(id="nan" | "inf" as name):
            return float(name)
        case _:
            try:
                return ast.literal_eval(node)
            except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
                raise NotWritable("it has an argument that is no plain value") from error


def _class_name(text: str) -> str:
    if not is_free_name(text):
        raise NotWritable(f"{text[:80]!r} is no name of a class")
    return text


def _home(name: str, modules: Mapping[str, str]) -> str:
    if name in modules:
        return public_module(f"{modules[name]}.{name}")
    if installed("sklearn"):
        for module in SKLEARN_MODULES:
            found = getattr(importlib.import_module(f"sklearn.{module}"), name, None)
            if isinstance(found, type) and found.__module__.startswith(f"sklearn.{module}"):
                return f"sklearn.{module}"
    raise NotWritable(f"the run does not say where {name[:80]!r} is from")


def _defaults(module: str, name: str, pinned: Mapping[str, str]) -> Mapping[str, Any] | None:
    """The class's own defaults, where this process has the library in the run's version; else None."""
    package = module.partition(".")[0]
    here = installed(package)
    if not here or pinned.get(DISTRIBUTIONS[package], here) != here:
        return None
    try:
        kind = getattr(importlib.import_module(module), name)
        parameters = inspect.signature(kind.__init__).parameters
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise NotWritable(f"{module[:80]} has no class {name[:80]}") from error
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {key: one.default for key, one in parameters.items() if one.kind in named and key != "self"}


def _is(default: Any, value: Any) -> bool:
    return repr(default) == repr(value) or (type(default) in (int, float) and type(value) in (int, float) and default == value)
