"""How a bound function is called: wherever it runs, it belongs to the request that asked for it."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from modelyard.core.underway import REQUEST_ID
from modelyard.storage.database import Database, Snapshot, Transaction
from modelyard.web.binding import Resources, bound, called


def reads(snapshot: Snapshot) -> str:
    return REQUEST_ID.get()


def writes(transaction: Transaction) -> str:
    return REQUEST_ID.get()


def computes() -> str:
    return REQUEST_ID.get()


@pytest.mark.parametrize("function", [reads, writes, computes])
def test_what_it_logs_carries_the_request_s_id(database: Database, function: Callable[..., str]) -> None:
    async def asked(pool: ThreadPoolExecutor, request_id: str) -> str:
        REQUEST_ID.set(request_id)
        found: str = await called(bound(function, "/", frozenset()), Resources(database=database, values={}, pool=pool), {}, {})
        return found

    async def both(pool: ThreadPoolExecutor) -> list[str]:
        return list(await asyncio.gather(asked(pool, "first"), asked(pool, "second")))

    with ThreadPoolExecutor(1) as pool:
        assert asyncio.run(both(pool)) == ["first", "second"]
