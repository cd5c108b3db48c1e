"""The stream of changes: who is told what, what a browser missed, and how it ends."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from litestar.testing import TestClient
from sqlalchemy.exc import OperationalError

from modelyard.core.errors import Overloaded
from modelyard.web import live
from modelyard.web.live import Change, Feed, Follow, Hub, matches

TOPICS = frozenset({"delivery:dlv_1"})


class Log:
    """A feed in memory that counts how often it was read, and may be away."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.reads = 0
        self.is_away = False

    def add(self, *topics: str) -> None:
        """Appends changes of these topics."""
        for topic in topics:
            self.changes.append(Change(len(self.changes) + 1, topic))

    def after(self, position: int, limit: int) -> Sequence[Change]:
        """The changes after `position`."""
        self.reads += 1
        if self.is_away:
            raise OperationalError("select", {}, Exception("away"))
        return self.changes[position : position + limit]

    def feed(self) -> Feed:
        """The feed."""
        return Feed(latest=lambda: len(self.changes), after=self.after)


def under(log: Log, work: Callable[[Hub], Awaitable[None]], *, beat_s: float = 5) -> None:
    """Runs `work` with a hub over `log` that is started before and closed after."""

    async def run() -> None:
        hub = Hub(log.feed(), poll_s=0.001, beat_s=beat_s)
        await hub.start()
        await asyncio.wait_for(work(hub), 20)
        await hub.close()

    asyncio.run(run())


async def told(stream: Any, count: int) -> list[bytes]:
    """The next `count` messages of a stream."""
    return [await anext(stream) for _ in range(count)]


def test_a_browser_is_told_of_its_topics_and_of_what_lies_below_them_only() -> None:
    log = Log()

    async def work(hub: Hub) -> None:
        stream = hub.events(Follow(TOPICS), 0)
        assert await told(stream, 1) == [b"retry: 1000\n\n"]
        log.add("delivery:dlv_2", "delivery:dlv_1/stage", "model:x", "delivery:dlv_1")
        assert await told(stream, 2) == [b'id: 2\ndata: "delivery:dlv_1/stage"\n\n', b'id: 4\ndata: "delivery:dlv_1"\n\n']

    under(log, work)


def test_a_browser_is_told_of_its_users_teams_only_also_of_what_it_missed() -> None:
    log = Log()

    async def work(hub: Hub) -> None:
        follow = Follow(frozenset({"model"}), frozenset({"red"}))
        early = hub.events(follow, 0)
        await told(early, 1)
        log.changes += [Change(1, "model:a", "blue"), Change(2, "model:b"), Change(3, "model:c", "red")]
        late = hub.events(follow, 0)
        assert await told(early, 1) == (await told(late, 2))[1:] == [b'id: 3\ndata: "model:c"\n\n']

    under(log, work)


def test_a_browser_that_was_away_is_told_what_it_missed_and_nothing_twice() -> None:
    log = Log()
    log.add(*["delivery:dlv_1"] * 5)

    async def work(hub: Hub) -> None:
        stream = hub.events(Follow(TOPICS), 3)
        await told(stream, 1)
        assert [message[:5] for message in await told(stream, 2)] == [b"id: 4", b"id: 5"]
        log.add("delivery:dlv_1")
        assert [message[:5] for message in await told(stream, 1)] == [b"id: 6"]

    under(log, work)


def test_a_browser_that_missed_too_much_is_told_to_fetch_everything() -> None:
    log = Log()
    log.add(*["model:x"] * (live.MOST_MISSED + 1))

    async def work(hub: Hub) -> None:
        stream = hub.events(Follow(TOPICS), 0)
        assert (await told(stream, 2))[1] == b"id: 501\nevent: all\ndata: \n\n"

    under(log, work)


def test_a_browser_too_slow_to_keep_up_is_cut_off() -> None:
    log = Log()

    async def work(hub: Hub) -> None:
        stream = hub.events(Follow(TOPICS), 0)
        log.add("delivery:dlv_1")
        await told(stream, 2)
        log.add(*["delivery:dlv_1"] * (live.QUEUE + 1))
        while hub.position() < len(log.changes):
            await asyncio.sleep(0)
        assert [message async for message in stream] == []

    under(log, work)


def test_one_task_reads_for_all_browsers_and_none_reads_for_nobody() -> None:
    log = Log()

    async def work(hub: Hub) -> None:
        await asyncio.sleep(0.02)
        assert log.reads <= 1
        streams = [hub.events(Follow(TOPICS), 0) for _ in range(20)]
        for stream in streams:
            await told(stream, 1)
        log.add("delivery:dlv_1")
        assert {message for stream in streams for message in await told(stream, 1)} == {b'id: 1\ndata: "delivery:dlv_1"\n\n'}

    under(log, work)


def test_a_database_that_is_away_for_a_moment_ends_no_stream() -> None:
    log = Log()

    async def work(hub: Hub) -> None:
        stream = hub.events(Follow(TOPICS), 0)
        await told(stream, 1)
        log.is_away, reads = True, log.reads
        while log.reads < reads + 3:
            await asyncio.sleep(0)
        log.is_away = False
        log.add("delivery:dlv_1")
        assert await told(stream, 1) == [b'id: 1\ndata: "delivery:dlv_1"\n\n']

    under(log, work)


def test_a_stream_beats_while_nothing_happens_and_ends_when_the_server_does() -> None:
    async def work(hub: Hub) -> None:
        stream = hub.events(Follow(TOPICS), 0)
        assert (await told(stream, 2))[1] == b": beat\n\n"
        await hub.close()
        assert [message async for message in stream if message != b": beat\n\n"] == []
        assert [message async for message in hub.events(Follow(TOPICS), 0)] == []

    under(Log(), work, beat_s=0.001)


def test_there_is_room_for_so_many_browsers_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MOST_BROWSERS", 1)

    async def work(hub: Hub) -> None:
        stream = hub.events(Follow(TOPICS), 0)
        hub.check_room()
        await told(stream, 1)
        with pytest.raises(Overloaded, match="1 browsers follow events already"):
            hub.check_room()
        await stream.aclose()  # type: ignore[attr-defined]  # an async generator, which the iterator's type hides
        hub.check_room()

    under(Log(), work)


@given(st.text(max_size=8), st.text(max_size=8))
def test_a_topic_matches_itself_and_what_lies_below(topic: str, below: str) -> None:
    assert matches(topic, frozenset({topic}))
    assert matches(f"{topic}/{below}", frozenset({topic}))
    assert not matches(f"{topic}x", frozenset({topic}) - {f"{topic}x"} - {""}) or topic == ""


TOO_FAR = f"topic=a&after={'9' * 5000}"
TOO_MANY = "&".join(f"topic={i}" for i in range(live.MOST_TOPICS + 1))


@pytest.mark.parametrize("query", ["", "topic=a&after=x", "topic=a&after=1.5", "topic=a&after=--1", TOO_FAR, TOO_MANY])
def test_a_stream_of_nothing_or_of_too_much_is_refused(client: TestClient[Any], query: str) -> None:
    answer = client.get(f"/live?{query}", headers={"accept": "text/event-stream"})
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "invalid_input"
