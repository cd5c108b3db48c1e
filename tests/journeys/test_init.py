"""From nothing to a model in production that was made again from its records: `yard init`, `yard ship`, `yard reproduce`."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.servers import free_port

YARD = [sys.executable, "-m", "modelyard.cli.main"]


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[str]:
    """`yard up` in the folder that the project will be made in, and its gateway's address."""
    port, gateway_port = free_port(), free_port()
    words = ["up", "--data", ".yard", "--no-login", "--port", str(port), "--gateway-port", str(gateway_port)]
    with (tmp_path / "up.log").open("w") as log:
        up = subprocess.Popen([*YARD, *words], cwd=tmp_path, stdout=subprocess.PIPE, stderr=log, text=True)
        assert up.stdout is not None
        assert up.stdout.readline() == f"ready http://127.0.0.1:{port}\n", (tmp_path / "up.log").read_text()
        yield f"http://127.0.0.1:{gateway_port}"
        up.terminate()
        up.stdout.close()
        assert up.wait(60) == 0, (tmp_path / "up.log").read_text()


def run(words: list[str], folder: Path) -> str:
    """What a command prints that ends well, without a word of the environment about where the server is."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith("MODELYARD_")}
    done = subprocess.run(words, cwd=folder, env=outside, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def test_a_new_project_ships_and_its_first_version_is_made_again(gateway: str, tmp_path: Path) -> None:
    made = json.loads(run([*YARD, "init", "mine", "--json"], tmp_path))
    mine = tmp_path / "mine"
    assert (made["model"], made["is_synthetic"]) == ("mine", True)
    assert {"models.py", "test_models.py", "pyproject.toml", "uv.lock", ".github/workflows/models.yml"} <= set(made["files"])
    assert "1 passed" in run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"], mine)
    shipped = json.loads(run([*YARD, "ship", "mine", "--json"], mine))
    assert shipped["delivery"]["version"] == 1
    rows = [{"hub": "Lyon", "distance_km": 120.0, "weekday": 3}]
    answer = httpx.post(f"{gateway}/predict/mine", json={"rows": rows}, trust_env=False).json()
    assert (answer["version"], 0.0 <= answer["predictions"][0]["value"] <= 1.0) == (1, True)
    found = json.loads(run([*YARD, "reproduce", "mine/champion", "--json"], mine))
    assert (found["verdict"], found["snapshot"]) == ("identical", "rebuilt"), found["reason"]
