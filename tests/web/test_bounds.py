"""Bodies in time: counted is the waiting for the client, and whoever goes on sending gets more of it."""

import asyncio
import selectors
from collections.abc import Iterator
from typing import Any

import pytest

from modelyard.core.errors import HTTP_STATUS
from modelyard.serving.domain import BadRows
from modelyard.serving.gateway.wire import Incoming, body_of
from modelyard.web.bounds import BodyIsSlow, Message, Paced, Receive, Scope, Send


class Clock(asyncio.SelectorEventLoop):
    """An event loop whose time goes on as soon as it has nothing to do but to wait."""

    def __init__(self) -> None:
        self.now = 0.0
        super().__init__(_Unwaiting(self))

    def time(self) -> float:
        return self.now


class _Unwaiting(selectors.SelectSelector):
    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._clock.now += timeout or 0.0
        return super().select(0)


def told(parts: Iterator[Message], every_s: float = 0.0) -> Receive:
    """A client that sends these parts, each after so long, and then nothing more."""

    async def receive() -> Message:
        found = next(parts, None)
        if found is None:
            await asyncio.Event().wait()
        assert found is not None
        await asyncio.sleep(every_s)
        return found

    return receive


async def unsent(message: Message) -> None:
    raise AssertionError(message)


def read(parts: list[Message], every_s: float = 0.0, send: Send = unsent, **options: Any) -> tuple[int, int]:
    """How many bytes an app behind Paced reads of a body in those parts before it is whole or given up, and after how many seconds."""
    size = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal size
        try:
            while True:
                message = await receive()
                size += len(message["body"])
                if not message["more_body"]:
                    return
        except BodyIsSlow as error:
            assert f"{size} bytes of the body came" in error.message
            await send({"type": "http.response.start", "status": HTTP_STATUS[error.kind], "headers": []})

    with asyncio.Runner(loop_factory=Clock) as runner:
        runner.run(Paced(app, **options)({"type": "http"}, told(iter(parts), every_s), send))
        return size, round(runner.get_loop().time())


def given_up(parts: list[Message], every_s: float = 0.0, **options: Any) -> tuple[int, int]:
    """As `read`, of a body that must be given up."""
    answers: list[Message] = []

    async def sent(message: Message) -> None:
        answers.append(message)

    found = read(parts, every_s, sent, **options)
    assert [(one["status"], one["headers"]) for one in answers] == [(408, [(b"connection", b"close")])]
    return found


def part(body: bytes, *, more: bool = True) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


@pytest.mark.parametrize("parts", [[], [part(b"a")], [part(b"a"), part(b"b")]], ids=len)
def test_a_body_that_stops_coming_is_given_up(parts: list[Message]) -> None:
    assert given_up(parts, grace_s=30) == (len(parts), 30)


def test_a_body_that_comes_is_read_however_long_it_takes() -> None:
    body = [*[part(b"x" * 1000)] * 50, part(b"", more=False)]
    assert read(body, every_s=20, grace_s=30, least_bytes_per_s=50) == (50_000, 51 * 20)


def test_a_body_that_trickles_is_given_up() -> None:
    assert given_up([part(b"x")] * 100, every_s=2, grace_s=30, least_bytes_per_s=50) == (15, 30)


def test_what_came_fast_is_no_credit_for_a_client_that_is_gone() -> None:
    assert given_up([part(b"x" * 1_000_000)] * 10, grace_s=30, least_bytes_per_s=10) == (10_000_000, 30)


def test_a_gateway_gives_up_a_body_of_which_nothing_comes() -> None:
    for parts in ([], [part(b"a")]):
        with pytest.raises(BadRows, match="did not come within"):
            asyncio.run(body_of(Incoming({}, told(iter(parts))), within_s=0.01))
