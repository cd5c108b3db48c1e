"""The steps of one attempt as those who follow it see them. Owns how they are told, and nothing of what a step does."""

import time
from collections.abc import Callable
from typing import TypeVar

from modelyard.delivery.domain import Reproduction, ReproductionStep
from modelyard.delivery.reproductions import advanced
from modelyard.delivery.stages.yard import Yard

T = TypeVar("T")


class Steps:
    """The steps of one attempt: each is told to those who follow as it begins and ends."""

    def __init__(self, yard: Yard, held: Reproduction) -> None:
        self._yard, self.held = yard, held

    def taken(self, name: str, work: Callable[[], T], said: Callable[[T], str]) -> T:
        """What a step gives, told with its time and what `said` says of it."""
        self._tell(name, None)
        began = time.perf_counter()
        found = work()
        step = ReproductionStep(name=name, took_s=round(time.perf_counter() - began, 3), said=said(found))
        self._yard.beat()
        self._tell(name, step)
        return found

    def _tell(self, name: str, step: ReproductionStep | None) -> None:
        before = self.held
        self.held = self._yard.database.write(lambda tx: advanced(tx, before, name, step))
