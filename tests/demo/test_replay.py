"""A few days of the demo, by its own command: two models live, every flight answered, the summary's figures from the records."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from demo.sources import package_folder
from tests.servers import free_port

# Each worker would replay days of its own.
pytestmark = pytest.mark.xdist_group("demo")

REPOSITORY = Path(__file__).resolve().parents[2]
FLIGHTS = 336_776


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the demo leaves after two days."""
    assert package_folder().is_dir()
    folder = tmp_path_factory.mktemp("demo") / "state"
    words = ["--state", str(folder), "--port", str(free_port()), "--gateway-port", str(free_port()), "--until", "2013-04-03"]
    found = subprocess.run([sys.executable, "-m", "demo", *words], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert found.returncode == 0, f"{found.stdout}\n{found.stderr}"
    assert "late_arrival v1 is live" in found.stdout, found.stdout
    return folder


def figures(state: Path, head: str) -> dict[str, Any]:
    """The figures of the summary's line that begins so."""
    lines = json.loads((state / "summary.json").read_text("utf-8"))["lines"]
    found: dict[str, Any] = next(line["figures"] for line in lines if line["head"].startswith(head))
    return found


@pytest.mark.journey
def test_every_flight_is_answered_or_declared_to_be_skipped(state: Path) -> None:
    found = figures(state, "")
    assert found["failed"] == 0
    for model in ("late_arrival", "late_departure"):
        assert found["served"][model] > 1_000
        assert found["served"][model] + found["skipped"][model] + found["left"] == FLIGHTS


@pytest.mark.journey
def test_what_was_read_online_is_what_the_sources_give(state: Path) -> None:
    found = figures(state, "1 ")
    assert (found["different"], found["unverifiable"]) == (0, 0)
    assert found["compared"] > 10_000


@pytest.mark.journey
def test_a_version_is_made_again_and_no_person_is_forged(state: Path) -> None:
    assert figures(state, "3 ")["verdict"] == "identical"
    steps = figures(state, "4 ")
    assert (steps["human_last"], steps["by_policy_last"]) == (1, 1)
