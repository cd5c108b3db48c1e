"""A closed-loop load on a gateway: threads with a connection each, and what every one of them was answered."""

import threading
from typing import Any

import httpx
import msgspec

from tests.serving.world import TOKEN, Gateway


class Answered(msgspec.Struct):
    """What a load got: whole answers, other statuses, and how often the connection broke."""

    answers: list[dict[str, Any]] = []
    refused: list[int] = []
    broken: int = 0

    @property
    def ids(self) -> set[str]:
        """The ids of all predictions that were answered."""
        return {one["id"] for answer in self.answers for one in answer["predictions"]}


class Load:
    """Asks from `threads` connections at once until it is stopped."""

    def __init__(self, gateway: Gateway, rows: list[dict[str, Any]], threads: int = 4, token: str = TOKEN) -> None:
        self.answered = Answered()
        self._gateway, self._token = gateway, token
        self._rows = rows
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(threads)]

    def __enter__(self) -> Answered:
        for thread in self._threads:
            thread.start()
        return self.answered

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def _ask(self) -> None:
        with httpx.Client(
            base_url=self._gateway.url, headers={"authorization": f"Bearer {self._token}"}, timeout=20, trust_env=False
        ) as client:
            while not self._stop.is_set():
                try:
                    answer = client.post("/predict/late", json={"rows": self._rows})
                except httpx.TransportError:
                    self.answered.broken += 1
                    self._stop.wait(0.02)
                    continue
                if answer.status_code == 200:
                    self.answered.answers.append(answer.json())
                else:
                    self.answered.refused.append(answer.status_code)
