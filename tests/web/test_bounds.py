"""Bodies in time: counted is the waiting for the client, and whoever goes on sending gets more of it."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from modelyard.serving.domain import BadRows
from modelyard.serving.gateway.wire import body_of
from modelyard.web.bounds import BodyIsSlow, Message, Paced, Receive, Scope, Send


def told(parts: Iterator[Message]) -> Receive:
    """A client that sends these parts and then nothing more."""

    async def receive() -> Message:
        found = next(parts, None)
        if found is None:
            await asyncio.Event().wait()
        assert found is not None
        return found

    return receive


def read(parts: list[Message], **options: Any) -> bytes:
    """What an app behind Paced reads of a body in those parts."""
    read = bytearray()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            read.extend(message["body"])
            if not message["more_body"]:
                return

    async def unsent(message: Message) -> None:
        raise AssertionError(message)

    asyncio.run(Paced(app, **options)({"type": "http"}, told(iter(parts)), unsent))
    return bytes(read)


def part(body: bytes, *, more: bool = True) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


@pytest.mark.parametrize("parts", [[], [part(b"a")], [part(b"a"), part(b"b")]], ids=len)
def test_a_body_that_stops_coming_is_given_up(parts: list[Message]) -> None:
    with pytest.raises(BodyIsSlow, match=f"{len(parts)} bytes of the body came"):
        read(parts, grace_s=0.01)


def test_a_body_that_comes_is_read_however_long_it_is() -> None:
    body = [part(b"x" * 1000) for _ in range(50)]
    assert len(read([*body, part(b"", more=False)], grace_s=0.01, least_bytes_per_s=10)) == 50_000


def test_a_gateway_gives_up_a_body_of_which_nothing_comes() -> None:
    for parts in ([], [part(b"a")]):
        with pytest.raises(BadRows, match="did not come within"):
            asyncio.run(body_of(told(iter(parts)), {}, within_s=0.01))
