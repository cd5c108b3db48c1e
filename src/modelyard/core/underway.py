"""The ids of the request and of the job under way, which log lines and answers carry. Owns where they are kept; logs nothing."""

import contextvars
import itertools
import secrets
from collections.abc import Iterable

REQUEST_ID: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="")
JOB_ID: contextvars.ContextVar[str] = contextvars.ContextVar("job_id", default="")
HEADER = b"x-request-id"
MOST_ID_LENGTH = 64

_own = secrets.token_hex(8)
_count = itertools.count(1)


def request_id_of(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The id that came with a request: letters, digits and dashes, at most 64; else a new one.

    >>> request_id_of([(b"x-request-id", b"0af7-651916")])
    '0af7-651916'
    """
    for name, value in headers:
        if name == HEADER and len(value) <= MOST_ID_LENGTH and value.replace(b"-", b"").isalnum():
            return value.decode("ascii")
    # Counted rather than drawn: the gateway gives one to each request.
    return f"{_own}{next(_count):08x}"
