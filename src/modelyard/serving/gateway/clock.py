"""The gateway's clock: the machine's, or in a data folder made for replay the replay's, as last told."""

import asyncio

from modelyard.core.clock import SECOND, Clock, Instant
from modelyard.core.errors import InvalidInput

AT = b"modelyard-at"
DAY = 86_400 * SECOND


class GatewayClock:
    """Event time stands where the replay was last said to be; without a replay it is the machine's."""

    def __init__(self, machine: Clock) -> None:
        self._machine = machine
        self._asked_day = 0
        self.replay_at: Instant | None = None
        self.day_began = asyncio.Event()
        """Set by the first request of each day of a replay: whoever replays wants the log of the day before."""

    def now(self) -> Instant:
        """The event time."""
        return self._machine.now() if self.replay_at is None else self.replay_at

    def wall(self) -> Instant:
        """The machine's time."""
        return self._machine.wall()

    def follow(self, replay_at: Instant | None) -> None:
        """Takes over where the replay stands; it never goes back."""
        if replay_at is not None:
            self.replay_at = max(replay_at, self.replay_at or replay_at)

    def asked_at(self, header: bytes | None) -> Instant:
        """The event time of a request. In a replay its header `Modelyard-At`, in microseconds, may say it and moves the clock on.

        Raises InvalidInput where nothing is replayed: nobody dates a real request.
        """
        if header is None:
            return self.now()
        if self.replay_at is None:
            raise InvalidInput("this gateway serves real time and takes no Modelyard-At", hint="leave the header out")
        if not header.isdigit() or len(header) > 18:
            raise InvalidInput(f"Modelyard-At is {header[:40]!r}, not microseconds since 1970", hint="send digits alone")
        at = Instant(int(header))
        # Requests of one instant overtake each other, so one may lie behind; the clock itself only moves on.
        self.follow(at)
        if at // DAY > self._asked_day:
            self._asked_day = at // DAY
            self.day_began.set()
        return at
