"""A year's questions and outcomes, hour by hour, ready to be sent. Owns their form; sends nothing.

The flights of an hour are asked about together, two hours before it: the same rows for every model.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np
import polars as pl

from modelyard.core.clock import Instant

HOUR = 3_600_000_000
AHEAD = 2 * HOUR
FIELDS = ("origin", "tailnum", "carrier", "dest", "distance", "hour")
KNOWN = {"late_arrival": "landed_at", "late_departure": "departed_at"}
"""Each model's label, and the column that says when it became known."""


class Step(msgspec.Struct, frozen=True):
    """The flights [first, last) that are asked about at an instant."""

    at: Instant
    first: int
    last: int


class Outcomes:
    """One model's labels in the order in which they become known, given out as time goes by."""

    def __init__(self, flights: pl.DataFrame, model: str) -> None:
        known = flights.select("flight", at=pl.col(KNOWN[model]).cast(pl.Int64), value=model).drop_nulls().sort("at", "flight")
        self._at: list[int] = known["at"].to_list()
        self._flight: list[int] = known["flight"].to_list()
        self._value: list[int] = known["value"].to_list()
        self._next = 0

    def until(self, at: Instant, ids: Sequence[str | None]) -> bytes:
        """The body with the labels that became known since the last time, of flights that `ids` has a prediction for; empty without any."""
        end = bisect_right(self._at, at, self._next)
        span = range(self._next, end)
        self._next = end
        labels = [
            {"id": ids[self._flight[n]], "value": self._value[n], "at": self._at[n]} for n in span if ids[self._flight[n]] is not None
        ]
        return msgspec.json.encode({"labels": labels}) if labels else b""


class Traffic:
    """The year: `flights` in the order in which they are asked about, their steps, and the bodies."""

    def __init__(self, path: Path) -> None:
        self.flights = pl.read_parquet(path)
        self._rows = [msgspec.json.encode(row) for row in self.flights.select(FIELDS).iter_rows(named=True)]

    @property
    def count(self) -> int:
        """How many flights there are."""
        return self.flights.height

    def steps(self, since: Instant, until: Instant) -> Iterator[Step]:
        """The instants in [since, until) at which there is something to ask, in order."""
        at = self.flights["scheduled_hour"].cast(pl.Int64).to_numpy() - AHEAD
        instants, first = np.unique(at, return_index=True)
        ends = np.append(first[1:], at.size)
        for instant, begins, end in zip(instants.tolist(), first.tolist(), ends.tolist(), strict=True):
            if since <= instant < until:
                yield Step(Instant(instant), begins, end)

    def body(self, step: Step) -> bytes:
        """The body that asks about the flights of a step."""
        return b'{"rows":[' + b",".join(self._rows[step.first : step.last]) + b"]}"

    def outcomes(self, model: str) -> Outcomes:
        """The labels of a model."""
        return Outcomes(self.flights, model)
