"""What README says is what runs: its own commands, in a folder that stands in for the clone, from nothing to a version made again."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import polars as pl
import pytest

from tests.servers import free_port

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FIRST_MODEL = "A first model of your own in five minutes"
UP = ".venv/bin/yard up --no-login"


def blocks(section: str, language: str) -> list[str]:
    """The fenced blocks of a section of README, in order."""
    text = README.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    return [found[2] for found in BLOCK.finditer(text) if found[1] == language]


class Clone:
    """A folder with `.venv`, as a clone has it after `make setup`, where README's `yard up` runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server, self.gateway = (f"127.0.0.1:{free_port()}" for _ in range(2))
        self.outside = {name: value for name, value in os.environ.items() if not name.startswith("MODELYARD_")} | {"no_proxy": "127.0.0.1"}
        (folder / ".venv").symlink_to(Path(sys.prefix), target_is_directory=True)

    def sh(self, script: str) -> str:
        """What README's lines print, at these servers' ports, every one of them ending well."""
        text = script.replace("127.0.0.1:7700", self.server).replace("127.0.0.1:7701", self.gateway)
        done = subprocess.run(["bash", "-euc", text], cwd=self.folder, env=self.outside, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout

    def get(self, path: str) -> list[dict[str, object]]:
        """What the server answers to a read."""
        found: list[dict[str, object]] = httpx.get(f"http://{self.server}{path}", trust_env=False).raise_for_status().json()
        return found


@pytest.fixture
def clone(tmp_path: Path) -> Iterator[Clone]:
    """The clone while README's `yard up` runs in it, at free ports."""
    made = Clone(tmp_path)
    ports = {f"MODELYARD_{name}__PORT": where.rpartition(":")[2] for name, where in (("SERVER", made.server), ("GATEWAY", made.gateway))}
    (command,) = (line for block in blocks("Install", "console") for line in block.splitlines() if line == UP)
    with (tmp_path / "up.log").open("w") as log:
        up = subprocess.Popen(command.split(), cwd=tmp_path, env=made.outside | ports, stdout=subprocess.PIPE, stderr=log, text=True)
        assert up.stdout is not None
        assert up.stdout.readline() == f"ready http://{made.server}\n", (tmp_path / "up.log").read_text()
        yield made
        up.terminate()
        up.stdout.close()
        assert up.wait(60) == 0, (tmp_path / "up.log").read_text()


def test_every_command_of_readme_is_one_that_is_run_here_or_by_make() -> None:
    run = [
        *blocks("Install", "console"),
        *blocks("A first run", "console"),
        *blocks(FIRST_MODEL, "console"),
    ]
    others = [found[2] for found in BLOCK.finditer(README) if found[1] == "console" and found[2] not in run]
    made = [line for block in [*others, blocks("Install", "console")[0]] for line in block.splitlines() if line != UP]
    assert [line.split()[0] for line in made] == ["make"] * len(made)
    makefile = (Path(__file__).parents[2] / "Makefile").read_text("utf-8")
    assert [line for line in made if not re.search(rf"^{line.split()[1]}:", makefile, re.MULTILINE)] == []


@pytest.mark.journey
def test_readmes_first_run_is_recorded_with_the_real_mlflow_client(clone: Clone) -> None:
    (program,) = blocks("A first run", "python")
    name = program.partition("\n")[0].removeprefix("# ")
    (clone.folder / name).write_text(program)
    (command,) = blocks("A first run", "console")
    shown = clone.sh(command)
    assert "metrics.loss" in shown
    assert "0.333333" in shown


@pytest.mark.journey
def test_readmes_first_model_ships_answers_and_is_made_again(clone: Clone) -> None:
    begun, asked = blocks(FIRST_MODEL, "console")
    clone.sh(begun)
    mine = clone.folder / "mine"
    assert {"models.py", "test_models.py", "pyproject.toml", "uv.lock", ".github"} <= {path.name for path in mine.iterdir()}
    tested = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"], cwd=mine, capture_output=True, check=False)
    assert b"1 passed" in tested.stdout
    first, _, rest = asked.partition("\n")
    answer = json.loads(clone.sh(first))
    assert (answer["version"], 0.0 <= answer["predictions"][0]["value"] <= 1.0) == (1, True)
    shown = clone.sh(f"cd mine\n{rest}")
    assert "identical" in shown
    (found,) = clone.get("/api/v1/models/mine/versions/1/reproductions")
    assert (found["verdict"], found["snapshot"]) == ("identical", "rebuilt"), found["reason"]
    check_causes(clone)


def check_causes(clone: Clone) -> None:
    """With data, code and a package of today the version comes out otherwise, each of them is named, and its page says both."""
    mine = clone.folder / "mine"
    parcels, models = mine / "data" / "parcels.parquet", mine / "models.py"
    rows = pl.read_parquet(parcels).with_row_index()
    rows.with_columns(late=pl.when(pl.col("index") < 9).then(1 - pl.col("late")).otherwise("late")).drop("index").write_parquet(parcels)
    models.write_text(models.read_text().replace("n_estimators=trees", "n_estimators=trees + 1"))
    asked = "../.venv/bin/yard reproduce mine/1 --with-current-data --with-current-source --with joblib==1.5.3 || test $? = 3"
    shown = " ".join(clone.sh(f"cd mine\n{asked}").split())
    assert re.search(r"mine v1 is different, \S+ s: model content, metric .* came out otherwise", shown), shown
    assert "cause: data, a source has changed: 9 of " in shown
    assert "cause: code, models.py has other content." in shown
    assert re.search(r"cause: library, joblib 1\.5\.3 instead of \S+\.", shown), shown
    page = httpx.get(f"http://{clone.server}/models/mine/versions/1", headers={"Accept": "text/html"}, trust_env=False).text
    for words in (">Different<", "current data, current source, joblib==1.5.3", ">Identical<", "its records"):
        assert words in page
