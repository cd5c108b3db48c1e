"""A version is called slow by parts of like size, neither by its share of a request nor by one late answer of the others."""

import numpy as np
import pytest

from modelyard.delivery.slowness import slowdown


def _taken(random: np.random.Generator, rows: np.ndarray, a_row_us: float) -> np.ndarray:
    return (450.0 + a_row_us * rows) * random.lognormal(0.0, 0.2, rows.size)


@pytest.mark.parametrize("most", [2, 8, 60])
def test_the_same_version_is_not_slow_whatever_its_share_of_a_request(random: np.random.Generator, most: int) -> None:
    for _ in range(50):
        mine, others = random.integers(1, most + 1, 40), random.integers(30, 75, 40)
        found = slowdown(mine, _taken(random, mine, 15.0), others, _taken(random, others, 15.0))
        assert found is not None or mine.sum() < 50
        assert found is None or found.times < 2.0


def test_a_slow_version_is_found_by_few_parts_beside_one_late_answer_of_the_others(random: np.random.Generator) -> None:
    mine, others = np.array([4, 37, 33, 44, 19]), np.array([3, 45, 36, 33, 39])
    late = _taken(random, others, 12.0)
    late[2] = 29_000.0
    found = slowdown(mine, _taken(random, mine, 190.0), others, late)
    assert found is not None
    assert found.times > 4.0
    assert found.median_us > 4 * found.others_us


def test_a_version_that_is_late_once_in_ten_times_is_found_where_there_are_many_parts(random: np.random.Generator) -> None:
    rows = np.ones(400)
    usual, late = _taken(random, rows, 15.0), _taken(random, rows, 15.0)
    late[::10] *= 20.0
    found, same = slowdown(rows, late, rows, usual), slowdown(rows, _taken(random, rows, 15.0), rows, usual)
    assert found is not None
    assert same is not None
    assert found.times > 4.0
    assert same.times < 2.0


def test_too_few_parts_or_rows_are_not_judged() -> None:
    assert slowdown([50] * 4, [900] * 4, [50] * 9, [300] * 9) is None
    assert slowdown([1] * 9, [900] * 9, [50] * 9, [300] * 9) is None
    assert slowdown([], [], [50] * 9, [300] * 9) is None
