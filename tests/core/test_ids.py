"""Ids sort by time, and bear it."""

import threading

from modelyard.core.clock import Instant
from modelyard.core.ids import decimal_id, hex_id, id_instant, new_id, uuid7


def test_ids_of_one_process_increase_also_from_several_threads() -> None:
    found: list[list[str]] = [[] for _ in range(4)]

    def make(place: int) -> None:
        found[place].extend(uuid7().hex for _ in range(2000))

    threads = [threading.Thread(target=make, args=(place,)) for place in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(one == sorted(one) for one in found)
    assert len({identifier for one in found for identifier in one}) == 8000


def test_an_id_bears_the_instant_it_was_made_for() -> None:
    at = Instant(1_357_034_400_123_000)
    assert id_instant(f"dlv_{uuid7(at).hex}") == at


def test_ids_have_the_shapes_that_clients_expect() -> None:
    assert new_id("apr").startswith("apr_")
    assert len(hex_id()) == 32
    assert len(decimal_id()) == 18
    assert uuid7().variant == "specified in RFC 4122"
