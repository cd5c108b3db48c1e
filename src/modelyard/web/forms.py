"""Forms: the token that proves a form came from our page, the note that is shown once, and where a browser may be sent."""

import base64
import binascii
import hmac
from typing import Any
from urllib.parse import urlsplit

import msgspec
from litestar import Response
from litestar.datastructures import Cookie

from modelyard.core.errors import InvalidInput, Kind, ModelyardError
from modelyard.web.frame import THEMES, Note, WebRequest

NOTES = "yard_notes"
THEME = "yard_theme"
NOTES_AGE_S = 60
THEME_AGE_S = 365 * 86400
LONGEST_TEXT = 600
LONGEST_HINT = 300


class FormIsForged(ModelyardError):
    """The form's token is not the session's."""

    kind = Kind.FORBIDDEN


class FieldIsMissing(InvalidInput):
    """A field that must be given was left out."""


def check_token(given: str, expected: str) -> None:
    """Raises FormIsForged unless the form's token is the one that the session was given."""
    if not expected or not hmac.compare_digest(given.encode(), expected.encode()):
        raise FormIsForged("this form does not belong to your session, or the session ended", hint="reload the page and send it again")


def local_path(text: str, otherwise: str = "/") -> str:
    r"""`text` where it is a path on this server, else `otherwise`: a browser is never sent elsewhere.

    >>> local_path("/models?sort=name"), local_path("//evil.example/x"), local_path("/\\evil.example"), local_path("https://evil.example")
    ('/models?sort=name', '/', '/', '/')
    """
    if not text.startswith("/") or text[:2] in ("//", "/\\") or any(c < " " or c == "\x7f" for c in text):
        return otherwise
    return text


def came_from(request: WebRequest) -> str:
    """The path of the page whose form this is, or the first page."""
    try:
        parts = urlsplit(request.headers.get("referer", ""))
    except ValueError:  # such as http://[
        return "/"
    if parts.netloc != request.headers.get("host", ""):
        return "/"
    return local_path(f"{parts.path}?{parts.query}" if parts.query else parts.path)


def sent_to(request: WebRequest, path: str, note: Note | None = None) -> Response[Any]:
    """The answer that sends the browser on to `path`, where `note` is shown once."""
    cookies = [cookie(request, NOTES, _packed(note), NOTES_AGE_S)] if note else []
    headers = {"Location": local_path(path), "Cache-Control": "no-store"}
    return Response(b"", status_code=303, headers=headers, cookies=cookies)


def notes_of(request: WebRequest) -> tuple[Note, ...]:
    """What the last action left to be shown. A cookie that is not ours is no note."""
    text = request.cookies.get(NOTES, "")
    if not text:
        return ()
    try:
        return (msgspec.json.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=Note),)
    except (binascii.Error, ValueError, msgspec.DecodeError):
        return ()


def theme_of(request: WebRequest) -> str:
    """The theme that this browser asked for, `system` where it asked for none."""
    theme = request.cookies.get(THEME, "system")
    return theme if theme in THEMES else "system"


def cookie(request: WebRequest, name: str, value: str, age_s: int) -> Cookie:
    """A cookie that scripts cannot read and other sites cannot send along with a form; over HTTPS it never travels bare."""
    secure = request.url.scheme == "https"
    return Cookie(key=name, value=value, max_age=age_s, path="/", httponly=True, samesite="lax", secure=secure)


def _packed(note: Note) -> str:
    shown = Note(note.tone, note.text[:LONGEST_TEXT], note.hint[:LONGEST_HINT])
    return base64.urlsafe_b64encode(msgspec.json.encode(shown)).decode().rstrip("=")
