"""Errors as MLflow's clients know them: a code, its HTTP status, a message."""

import msgspec

from modelyard.core.errors import Kind, ModelyardError
from modelyard.tracking.domain import ExperimentExists, ExperimentNotActive, NotActive, PathRefused

STATUS = {
    "BAD_REQUEST": 400,
    "INVALID_PARAMETER_VALUE": 400,
    "RESOURCE_ALREADY_EXISTS": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "RESOURCE_DOES_NOT_EXIST": 404,
    "ENDPOINT_NOT_FOUND": 404,
    "RESOURCE_CONFLICT": 409,
    "REQUEST_LIMIT_EXCEEDED": 429,
    "INTERNAL_ERROR": 500,
    "INVALID_STATE": 500,
    "NOT_IMPLEMENTED": 501,
    "TEMPORARILY_UNAVAILABLE": 503,
}
RETRIED = frozenset({429, 503})
RETRY_AFTER_S = "1"

_BY_KIND = {
    Kind.INVALID: "INVALID_PARAMETER_VALUE",
    Kind.UNAUTHENTICATED: "UNAUTHENTICATED",
    Kind.FORBIDDEN: "PERMISSION_DENIED",
    Kind.MISSING: "RESOURCE_DOES_NOT_EXIST",
    Kind.CONFLICT: "RESOURCE_ALREADY_EXISTS",
    Kind.REFUSED: "RESOURCE_CONFLICT",
    Kind.TOO_LARGE: "INVALID_PARAMETER_VALUE",
    Kind.THROTTLED: "REQUEST_LIMIT_EXCEEDED",
    Kind.OVERLOADED: "TEMPORARILY_UNAVAILABLE",
    Kind.UNREACHABLE: "TEMPORARILY_UNAVAILABLE",
    Kind.INTERNAL: "INTERNAL_ERROR",
}
_BY_ERROR: dict[type[ModelyardError], str] = {
    ExperimentExists: "RESOURCE_ALREADY_EXISTS",
    ExperimentNotActive: "INVALID_STATE",
    NotActive: "INVALID_PARAMETER_VALUE",
}
# The words of MLflow's own classification, which its clients keep beside the code.
_STATES = {
    "INTERNAL_ERROR": ("XXM00", "CLIENT_INTERNAL_ERROR"),
    "INVALID_STATE": ("XXM00", "CLIENT_INTERNAL_ERROR"),
    "TEMPORARILY_UNAVAILABLE": ("XXM00", "CLIENT_INTERNAL_ERROR"),
    "BAD_REQUEST": ("KAM00", "INVALID_PARAMETER_VALUE"),
    "INVALID_PARAMETER_VALUE": ("KAM00", "INVALID_PARAMETER_VALUE"),
    "PERMISSION_DENIED": ("KAM00", "PERMISSION_DENIED"),
    "RESOURCE_ALREADY_EXISTS": ("KAM00", "RESOURCE_ALREADY_EXISTS"),
    "RESOURCE_DOES_NOT_EXIST": ("KAM00", "RESOURCE_NOT_FOUND"),
    "ENDPOINT_NOT_FOUND": ("KAM00", "RESOURCE_NOT_FOUND"),
}


class MlflowError(ModelyardError):
    """An error that only this wire has, under one of MLflow's codes."""

    def __init__(self, error_code: str, message: str) -> None:
        super().__init__(message)
        self.error_code = error_code


class MlflowErrorBody(msgspec.Struct, frozen=True, omit_defaults=True):
    """An error's JSON."""

    error_code: str
    message: str
    sqlstate: str | None = None
    error_class: str | None = None


def error_code(error: ModelyardError) -> str:
    """The code that MLflow's clients know such an error by."""
    if isinstance(error, MlflowError):
        return error.error_code
    return _BY_ERROR.get(type(error)) or _BY_KIND[error.kind]


def error_answer(error: ModelyardError) -> tuple[int, bytes]:
    """The status and JSON of an error."""
    code = error_code(error)
    state, name = _STATES.get(code, (None, None))
    # MLflow's clients and tests know these words and no others.
    message = "Invalid path" if isinstance(error, PathRefused) else error.message
    return STATUS[code], msgspec.json.encode(MlflowErrorBody(code, message, state, name))


def missing(path: str) -> MlflowError:
    """The error for a parameter that must be there."""
    return MlflowError(
        "INVALID_PARAMETER_VALUE",
        f"Missing value for required parameter '{path}'. See the API docs for more information about request parameters.",
    )


def invalid(message: str) -> MlflowError:
    """The error for a parameter that is wrong."""
    return MlflowError("INVALID_PARAMETER_VALUE", message)
