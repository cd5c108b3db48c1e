"""The base error and its kinds. Owns how an error says what to do next; the statuses of HTTP are a table beside it."""

from enum import StrEnum
from typing import ClassVar

import msgspec


class Kind(StrEnum):
    """What sort of failure it is; decides HTTP status and exit code."""

    INVALID = "invalid"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    MISSING = "missing"
    CONFLICT = "conflict"
    REFUSED = "refused"
    TOO_LARGE = "too_large"
    THROTTLED = "throttled"
    OVERLOADED = "overloaded"
    UNREACHABLE = "unreachable"
    INTERNAL = "internal"


HTTP_STATUS: dict[Kind, int] = {
    Kind.INVALID: 400,
    Kind.UNAUTHENTICATED: 401,
    Kind.FORBIDDEN: 403,
    Kind.MISSING: 404,
    Kind.CONFLICT: 409,
    Kind.REFUSED: 409,
    Kind.TOO_LARGE: 413,
    Kind.THROTTLED: 429,
    Kind.OVERLOADED: 503,
    Kind.UNREACHABLE: 503,
    Kind.INTERNAL: 500,
}

EXIT_CODE: dict[Kind, int] = {
    Kind.INVALID: 1,
    Kind.UNAUTHENTICATED: 5,
    Kind.FORBIDDEN: 5,
    Kind.MISSING: 1,
    Kind.CONFLICT: 1,
    Kind.REFUSED: 3,
    Kind.TOO_LARGE: 1,
    Kind.THROTTLED: 4,
    Kind.OVERLOADED: 4,
    Kind.UNREACHABLE: 4,
    Kind.INTERNAL: 1,
}


def kind_of(status: int) -> Kind:
    """The kind of error that an HTTP status stands for where nothing else is said.

    >>> kind_of(409)
    <Kind.CONFLICT: 'conflict'>
    """
    return next((kind for kind, value in HTTP_STATUS.items() if value == status), Kind.INTERNAL)


class ErrorBody(msgspec.Struct, frozen=True, kw_only=True):
    """The wire form of an error: `{"code", "message", "hint"}`, and its `kind` where the HTTP status is one of several kinds'."""

    code: str
    message: str
    hint: str = ""
    kind: Kind | msgspec.UnsetType = msgspec.UNSET


class ModelyardError(Exception):
    """An error with a `code` (the class's name in snake case), a message and a hint.

    Subclass it in a component's `domain.py`, set `kind`, raise it with a message that says what was got and what
    was expected, and with a `hint` that names the next step.

    >>> class RunIsFinished(ModelyardError):
    ...     kind = Kind.CONFLICT
    >>> error = RunIsFinished("run r1 ended", hint="start a new run")
    >>> error.body().code
    'run_is_finished'
    """

    kind: ClassVar[Kind] = Kind.INVALID
    retry_after_s: int = 1
    """When another try makes sense, where the kind is one that passes."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    @property
    def code(self) -> str:
        """The class's name in snake case: a part of the contract, tests assert it."""
        name = type(self).__name__
        return "".join(f"_{c.lower()}" if c.isupper() and i else c.lower() for i, c in enumerate(name))

    def body(self) -> ErrorBody:
        """The wire form."""
        is_told = kind_of(HTTP_STATUS[self.kind]) is self.kind
        return ErrorBody(code=self.code, message=self.message, hint=self.hint, kind=msgspec.UNSET if is_told else self.kind)


class InvalidInput(ModelyardError):
    """A value from outside that breaks a rule."""

    kind = Kind.INVALID


class NotFound(ModelyardError):
    """No such thing, or none that the caller may see."""

    kind = Kind.MISSING


class Conflict(ModelyardError):
    """The state does not allow the change."""

    kind = Kind.CONFLICT


class Overloaded(ModelyardError):
    """More work than can be taken now; the caller should retry after a while."""

    kind = Kind.OVERLOADED


class Corrupted(ModelyardError):
    """Stored content does not match its digest or its record."""

    kind = Kind.INTERNAL
