"""What a page says when it cannot be shown: code, message, next step. Owns the words for a status."""

from typing import ClassVar

import msgspec

from modelyard.core.errors import ErrorBody

_TITLES = {
    400: "This request is not understood",
    401: "Log in first",
    403: "You may not do this",
    404: "There is nothing here",
    405: "This cannot be done here",
    409: "Not in this state",
    413: "That is too much at once",
    429: "Too many requests",
    503: "Too busy just now",
}


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """The context of the error page."""

    TEMPLATE: ClassVar[str] = "web/error.html"

    title: str
    status: int
    code: str
    message: str
    hint: str
    path: str
    request_id: str


def fault_of(body: ErrorBody, status: int, path: str, request_id: str = "") -> Fault:
    """The error page's context for an error on `path`.

    >>> fault_of(ErrorBody(code="not_found", message="no model x"), 404, "/models/x").title
    'There is nothing here'
    """
    title = _TITLES.get(status, "Something failed here" if status >= 500 else "This did not work")
    return Fault(title=title, status=status, code=body.code, message=body.message, hint=body.hint, path=path, request_id=request_id)
