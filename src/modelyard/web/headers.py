"""The headers that keep a page to itself. Owns the Content-Security-Policy; nothing here allows `unsafe-*`."""

from litestar.types import ASGIApp, Message, Receive, Scope, Send

POLICY = "; ".join((
    "default-src 'self'",
    "base-uri 'none'",
    "form-action 'self'",
    "frame-ancestors 'none'",
    "object-src 'none'",
))  # fmt: skip

HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
)


def secured(app: ASGIApp) -> ASGIApp:
    """`app` with the headers on every answer; an answer that sets one of them itself keeps its own.

    It goes around the whole application: as a middleware inside it, it would miss the paths that nobody serves.
    """

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = list(message["headers"])
                present = {name.lower() for name, _ in given}
                message["headers"] = [*given, *(header for header in HEADERS if header[0] not in present)]
            await send(message)

        await app(scope, receive, sending)

    return wrapped
