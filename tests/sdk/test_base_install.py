"""What runs where `modelyard` alone is installed: its interface, its client, its commands, and the child that trains."""

import json
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

import pytest

import modelyard
from modelyard.access.domain import Role
from modelyard.cli.table import COMMANDS
from tests.server.conftest import Running, running

__all__ = ["running"]

ROOT = Path(__file__).resolve().parents[2]
ROLES = {"up", "server", "gateway", "worker", "doctor"}
OF_THE_SERVER = ROLES | {"adopt", "init", "verify"}
"""Commands that need `modelyard[server]`: roles, uv to lock a project, YAML to read a run's model, cryptography to verify signatures."""
REFUSING = """
import sys

class Refusing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {refused!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Refusing())
"""


def canonical(requirement: str) -> str:
    """The name of the distribution that a requirement names."""
    found = re.match(r"[\w.-]+", requirement)
    assert found, requirement
    return re.sub(r"[-_.]+", "-", found[0]).lower()


def base() -> set[str]:
    """The distributions that a plain install brings: what the project depends on, and what that depends on."""
    waiting = [canonical(one) for one in tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]]
    found = {"modelyard"}
    while waiting:
        name = waiting.pop()
        if name not in found and name in INSTALLED:
            found.add(name)
            waiting += [canonical(one) for one in distribution(name).requires or () if "extra ==" not in one]
    return found


INSTALLED = {canonical(name) for names in packages_distributions().values() for name in names}


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which Python, and each of its children, finds a base install alone."""
    folder, there = tmp_path_factory.mktemp("base"), base()
    refused = {name for name, homes in packages_distributions().items() if not there & {canonical(home) for home in homes}}
    assert {"sqlalchemy", "cronsim", "lmdb", "litestar", "lightgbm", "cryptography"} <= refused
    (folder / "sitecustomize.py").write_text(REFUSING.format(refused=refused))
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MODELYARD_")}
    return kept | {"PYTHONPATH": str(folder), "XDG_CONFIG_HOME": str(folder), "COLUMNS": "140"}


def ran(environment: dict[str, str], folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Python with `words`, run at `folder`."""
    return subprocess.run([sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_interface_client_commands_and_training_load_on_a_base_install(environment: dict[str, str], tmp_path: Path) -> None:
    homes = {command.home.partition(":")[0] for command in COMMANDS if command.name not in OF_THE_SERVER}
    modules = ["modelyard.sdk.client", "modelyard.sdk.child", *sorted(homes)]
    code = (
        f"import importlib, modelyard\nfor name in {modules!r}: importlib.import_module(name)\n"
        f"print(sorted(name for name in {modelyard.__all__!r} if getattr(modelyard, name) is not None))"
    )
    done = ran(environment, tmp_path, "-c", code)
    assert (done.returncode, done.stdout.strip()) == (0, repr(sorted(modelyard.__all__))), done.stderr


@pytest.mark.parametrize("name", sorted(OF_THE_SERVER))
def test_a_command_that_needs_more_says_what_to_install(environment: dict[str, str], tmp_path: Path, name: str) -> None:
    done = ran(environment, tmp_path, "-m", "modelyard.cli.main", name, "--json")
    assert done.returncode == 1, done.stderr
    error = json.loads(done.stdout)["error"]
    assert (error["code"], f"yard {name} needs" in error["message"]) == ("server_install_missing", True)
    assert "pip install 'modelyard[server]'" in error["hint"]


@pytest.mark.parametrize("words", ["status", "portfolio", "token list", "user list", "why alr_0"])
def test_commands_talk_to_a_server_from_a_base_install(environment: dict[str, str], tmp_path: Path, running: Running, words: str) -> None:
    told = environment | {"MODELYARD_URL": running.url, "MODELYARD_TOKEN": running.tokens[Role.ADMIN]}
    done = ran(told, tmp_path, "-m", "modelyard.cli.main", *words.split(), "--json")
    answer = json.loads(done.stdout)
    assert done.returncode == 0 or answer["error"]["code"] == "alert_not_found", done.stdout
    assert done.stderr == ""


def test_a_project_is_planned_from_a_base_install(environment: dict[str, str], tmp_path: Path, running: Running) -> None:
    (tmp_path / "modelyard.toml").write_text("")
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "mine"\nversion = "0"\n')
    (tmp_path / "uv.lock").write_text("version = 1\n")
    (tmp_path / "models.py").write_text(MODEL)
    told = environment | {"MODELYARD_URL": running.url, "MODELYARD_TOKEN": running.tokens[Role.ADMIN]}
    done = ran(told, tmp_path, "-m", "modelyard.cli.main", "plan", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [(change["kind"], change["what"], change["name"]) for plan in json.loads(done.stdout) for change in plan["changes"]] == [
        ("add", "model", "planned"),
        ("add", "view", "weather"),
        ("add", "feature", "weather: wind"),
    ]


MODEL = """
import polars as pl
from modelyard import Entity, FeatureView, Parquet, model, numbers, rows

weather = FeatureView("weather", Entity("origin"), Parquet("weather.parquet", timestamp="at"), features=["wind"], ttl="3h")

@model(owner="ops", risk="limited", purpose="Warn of late flights.", features=[weather], label="late",
       rows=rows("flights.parquet", timestamp="scheduled_at", known="landed_at"), request={"hour": pl.Int64}, as_of="scheduled_at")
def planned(rows):
    return None
"""
