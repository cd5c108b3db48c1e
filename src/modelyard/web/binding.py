"""How a plain function is bound to a request: what is injected, what comes off the wire, and how it is called.

Operations and pages share it. It knows no component: the composition root says which types are injected.
"""

import asyncio
import contextvars
import inspect
import typing
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, get_origin

import msgspec

from modelyard.core.errors import InvalidInput
from modelyard.storage.database import Database, Snapshot, Transaction

T = TypeVar("T")


class Resources(msgspec.Struct, frozen=True, kw_only=True):
    """What may be injected: one value for each type, and a bounded pool in which synchronous services run."""

    database: Database
    values: Mapping[type, Any]
    pool: ThreadPoolExecutor


class Binding(msgspec.Struct, frozen=True, kw_only=True):
    """A function's parameters by where they come from. `transaction` is the name and type of its transaction, if any."""

    function: Callable[..., Any]
    injected: Mapping[str, type]
    transaction: tuple[str, type] | None
    path: Mapping[str, Any]
    wire: Mapping[str, inspect.Parameter]
    hints: Mapping[str, Any]
    result: Any


def bound(function: Callable[..., Any], path: str, injectable: frozenset[type]) -> Binding:
    """The binding of `function` at `path`, such as `/models/{model}`. Raises TypeError where a path parameter has no owner."""
    hints = typing.get_type_hints(function)
    parameters = inspect.signature(function).parameters
    names = path_names(path)
    missing = [name for name in names if name not in parameters]
    if missing:
        raise TypeError(f"{path} names {missing}, which {function.__module__}.{function.__name__} does not take")
    transactions = [(name, hints[name]) for name in parameters if hints[name] in (Snapshot, Transaction)]
    injected = {name: hints[name] for name in parameters if name not in names and hints[name] in injectable}
    taken = {*injected, *names, *(name for name, _ in transactions)}
    return Binding(
        function=function,
        injected=injected,
        transaction=transactions[0] if transactions else None,
        path={name: hints[name] for name in names},
        wire={name: parameter for name, parameter in parameters.items() if name not in taken},
        hints=hints,
        result=hints.get("return"),
    )


def path_names(path: str) -> tuple[str, ...]:
    """The parameters that a path names, in order.

    >>> path_names("/models/{model}/versions/{version}")
    ('model', 'version')
    """
    return tuple(part[1:-1].partition(":")[0] for part in path.split("/") if part.startswith("{"))


def converted(values: Mapping[str, Any], types: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Texts of a path or a query as the types that the function asks for. Raises InvalidInput that names the parameter."""
    result = {}
    for name, value in values.items():
        try:
            result[name] = msgspec.convert(value, types[name], strict=False)
        except msgspec.ValidationError as error:
            raise InvalidInput(f"{where} parameter {name}={value!r}: {error}", hint="see /docs for what it takes") from error
    return result


def gathered(kind: type[T], given: Mapping[str, Sequence[str]]) -> T:
    """A struct whose fields come from a query by their names; one left empty counts as not given. Raises InvalidInput.

    A field of several values takes all of its name, any other the last.
    """
    hints = typing.get_type_hints(kind)
    found = {name: [value for value in given.get(name, ()) if value != ""] for name in hints}
    values = {name: some if is_many(hints[name]) else some[-1] for name, some in found.items() if some}
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"the query: {error}", hint="leave the parameter out, or choose another value") from error


def is_many(hint: Any) -> bool:
    """Whether a type takes several values of one name."""
    return get_origin(hint) in (list, tuple)


def is_gathered(hint: Any) -> bool:
    """Whether a parameter of that type is made of several of the query's: a struct."""
    return isinstance(hint, type) and issubclass(hint, msgspec.Struct)


def called(binding: Binding, resources: Resources, extra: Mapping[type, Any], arguments: Mapping[str, Any]) -> Awaitable[Any]:
    """The awaitable answer of the function: writes go to the database's writer, the rest to the pool.

    `extra` holds what is injected for this request alone, such as its principal.
    """
    injected = {name: extra[kind] if kind in extra else resources.values[kind] for name, kind in binding.injected.items()}
    given = {**arguments, **injected}
    function = binding.function
    if binding.transaction is not None and binding.transaction[1] is Transaction:
        name = binding.transaction[0]
        return asyncio.wrap_future(resources.database.submit(lambda tx: function(**given, **{name: tx})))
    if binding.transaction is not None:
        return pooled(resources.pool, lambda: _read(binding, resources.database, given))
    return pooled(resources.pool, lambda: function(**given))


def pooled(pool: ThreadPoolExecutor, work: Callable[[], T]) -> "asyncio.Future[T]":
    """The awaitable answer of `work`, which runs in the pool as a part of this request: its log lines carry the request's id."""
    return asyncio.wrap_future(pool.submit(contextvars.copy_context().run, work))


def _read(binding: Binding, database: Database, given: Mapping[str, Any]) -> Any:
    assert binding.transaction is not None
    with database.read() as snapshot:
        return binding.function(**given, **{binding.transaction[0]: snapshot})
