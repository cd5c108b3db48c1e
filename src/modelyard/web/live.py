"""Live pages: server-sent events that say which topics changed. Owns the stream; what changed is read anew by the page.

One task polls the feed for all browsers of a process. A browser that was away names the last position it saw and is told
what it missed, or to fetch everything where that is too much.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from typing import Any

import msgspec
from litestar import Request, Response, route
from litestar.handlers import HTTPRouteHandler
from litestar.response import Stream
from sqlalchemy.exc import SQLAlchemyError

from modelyard.core.errors import InvalidInput, ModelyardError, Overloaded
from modelyard.web.frame import WebRequest

STREAM = "/live"
MOST_TOPICS = 64
MOST_DIGITS = 18
MOST_BROWSERS = 500
MOST_MISSED = 500
QUEUE = 64


class Change(msgspec.Struct, frozen=True):
    """Something changed: its place in the feed, the topic that pages name, such as `model:late_arrival`, and whose it is."""

    position: int
    topic: str
    team: str = ""


class Feed(msgspec.Struct, frozen=True, kw_only=True):
    """Where changes come from: the last position, and up to `limit` changes after a position, in order. Both may block."""

    latest: Callable[[], int]
    after: Callable[[int, int], Sequence[Change]]


class Follow(msgspec.Struct, frozen=True):
    """What a browser follows: topics, of the teams that its user sees; of every team where `teams` is None."""

    topics: frozenset[str]
    teams: frozenset[str] | None = None

    def takes(self, change: Change) -> bool:
        """Whether the browser is told of the change."""
        return (self.teams is None or change.team in self.teams) and matches(change.topic, self.topics)


class Hub:
    """All browsers that follow changes. `start` before serving, `close` when the server begins to stop: streams end then."""

    def __init__(self, feed: Feed, *, poll_s: float = 0.25, beat_s: float = 15.0) -> None:
        self._feed = feed
        self._poll_s = poll_s
        self._beat_s = beat_s
        self._position = 0
        self._browsers: dict[asyncio.Queue[Change | None], Follow] = {}
        self._task: asyncio.Task[None] | None = None
        self._woken = asyncio.Event()
        self._is_closed = False

    async def start(self) -> None:
        """Begins to follow the feed from its end."""
        self._position = await asyncio.to_thread(self._feed.latest)
        self._task = asyncio.create_task(self._follow(), name="live")

    async def close(self) -> None:
        """Ends every stream and the polling; whoever comes later is sent away at once."""
        self._is_closed = True
        for queue in list(self._browsers):
            _put(queue, None)
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def position(self) -> int:
        """The last position that the feed was read to."""
        return self._position

    async def events(self, follow: Follow, after: int) -> AsyncIterator[bytes]:
        """The stream of one browser: what it missed since `after`, then what comes, and a beat while nothing does."""
        if self._is_closed:
            return
        queue: asyncio.Queue[Change | None] = asyncio.Queue(QUEUE)
        self._browsers[queue] = follow
        self._woken.set()
        try:
            yield b"retry: 1000\n\n"
            missed, after = await self._missed(follow, after)
            for message in missed:
                yield message
            while True:
                try:
                    change = await asyncio.wait_for(queue.get(), self._beat_s)
                except TimeoutError:
                    yield b": beat\n\n"
                    continue
                if change is None:
                    return
                if change.position > after:
                    yield _message(change)
        finally:
            self._browsers.pop(queue, None)

    def check_room(self) -> None:
        """Raises Overloaded where one more browser is one too many."""
        if len(self._browsers) >= MOST_BROWSERS:
            raise Overloaded(f"{MOST_BROWSERS} browsers follow events already", hint="reload the page to see what changed")

    async def _missed(self, follow: Follow, after: int) -> tuple[list[bytes], int]:
        """What to tell of the changes since `after`, and up to where: what was queued meanwhile is not told twice."""
        if after >= self._position:
            return [], after
        changes = await asyncio.to_thread(self._feed.after, after, MOST_MISSED)
        if len(changes) >= MOST_MISSED:
            position = self._position
            return [b"id: %d\nevent: all\ndata: \n\n" % position], position
        return [_message(change) for change in changes if follow.takes(change)], changes[-1].position if changes else after

    async def _follow(self) -> None:
        while True:
            if not self._browsers:
                self._woken.clear()
                await self._woken.wait()
            try:
                changes = await asyncio.to_thread(self._feed.after, self._position, MOST_MISSED)
            except (ModelyardError, SQLAlchemyError):  # a database that is away for a moment must not end the streams for good
                logging.getLogger("modelyard.web").exception("the feed of changes could not be read")
                changes = ()
            for change in changes:
                self._position = change.position
                self._tell(change)
            await asyncio.sleep(self._poll_s)

    def _tell(self, change: Change) -> None:
        for queue, follow in list(self._browsers.items()):
            if follow.takes(change):
                _put(queue, change)


def matches(topic: str, topics: frozenset[str]) -> bool:
    """Whether `topic` is among those followed, itself or by the start of its path.

    >>> matches("model:late_arrival/3", frozenset({"model:late_arrival"})), matches("model:late", frozenset({"model:la"}))
    (True, False)
    """
    if topic in topics:
        return True
    return any(topic.startswith((f"{followed}/", f"{followed}:")) for followed in topics)


def live_route(hub: Hub, teams_of: Callable[[WebRequest], Collection[str] | None]) -> HTTPRouteHandler:
    """The route of the stream: `/live?topic=A&topic=B&after=12`. After a break the browser's Last-Event-ID counts.

    `teams_of` gives the teams whose changes the request may be told of, None for all.
    """

    async def live(request: Request[Any, Any, Any]) -> Response[Any]:
        topics = frozenset(request.query_params.getall("topic", []))
        if not 0 < len(topics) <= MOST_TOPICS:
            raise InvalidInput(f"{len(topics)} topics were named, 1 to {MOST_TOPICS} can be followed", hint=f"{STREAM}?topic=model:NAME")
        hub.check_room()
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        teams = teams_of(request)
        follow = Follow(topics, None if teams is None else frozenset(teams))
        return Stream(hub.events(follow, _after(request)), media_type="text/event-stream", headers=headers)

    return route(STREAM, http_method=["GET"], name="web.live", include_in_schema=False, status_code=200)(live)


def _after(request: Request[Any, Any, Any]) -> int:
    text = request.headers.get("last-event-id") or request.query_params.get("after") or "0"
    if not text.removeprefix("-").isdecimal() or len(text) > MOST_DIGITS:
        raise InvalidInput(f"after={text[:40]!r} is no position", hint="a position is a number from an earlier event")
    return int(text)


def _message(change: Change) -> bytes:
    return b"id: %d\ndata: %b\n\n" % (change.position, msgspec.json.encode(change.topic))


def _put(queue: asyncio.Queue[Change | None], change: Change | None) -> None:
    """Queues `change`; a browser too slow to keep up is cut off, comes back by itself and is told what it missed."""
    if change is not None and not queue.full():
        queue.put_nowait(change)
        return
    while not queue.empty():
        queue.get_nowait()
    queue.put_nowait(None)
