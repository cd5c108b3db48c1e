"""A script that tracks its training in a folder of its own, made again by `yard reproduce`: identical, and what was changed is named."""

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.journeys.project import REPOSITORY, YARD, Mine

pytestmark = pytest.mark.xdist_group("journeys")
TRAIN = """
from importlib.metadata import version
from pathlib import Path

import modelyard
from steps import slope

pairs = [tuple(map(float, line.split(","))) for line in Path("parcels.csv").read_text().split()[1:]]
with modelyard.start(experiment="parcels", quiet=True, system_metrics=False) as run:
    run.log_dataset("parcels.csv", name="parcels")
    run.log({"slope": slope(pairs), "library": int(version("iniconfig").split(".")[1])})
print(run.id)
"""
STEPS = "def slope(pairs):\n    return sum(x * y for x, y in pairs) / sum(x * x for x, _ in pairs)\n"
BASE = ("httpx", "msgspec", "numpy", "polars", "psutil")
CHANGES = ("--with-current-data", "--with-current-source", "--with", "iniconfig==2.0.0")


@pytest.fixture
def notes(tmp_path: Path, mine: Mine) -> Path:
    """A folder under git with data, script and an environment of its own; `mine` is only the server that it logs to."""
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "train.py").write_text(TRAIN)
    (folder / "steps.py").write_text(STEPS)
    (folder / "parcels.csv").write_text("distance,minutes\n" + "".join(f"{at},{at * 2 + at % 3}\n" for at in range(1, 40)))
    (folder / ".gitignore").write_text(".venv\n")
    uv, python = [sys.executable, "-m", "uv"], str(folder / ".venv" / "bin" / "python")
    pins = ["iniconfig==2.1.0", *(f"{name}=={version(name)}" for name in BASE)]
    for words in (["git", "init", "-q"], [*uv, "venv", "-q"], [*uv, "pip", "install", "-q", "--python", python, *pins]):
        subprocess.run(words, cwd=folder, check=True, env={**os.environ, "VIRTUAL_ENV": ""})
    return folder


def ran(mine: Mine, folder: Path, *words: str) -> tuple[int, str]:
    """The exit code of a command in the folder, and what it prints, wherever its lines are broken."""
    token = (mine.folder / ".yard" / "keys" / "cli.token").read_text()
    outside = {"MODELYARD_URL": mine.url, "MODELYARD_TOKEN": token, "PYTHONPATH": str(REPOSITORY / "src"), "NO_COLOR": "1"}
    found = subprocess.run(words, cwd=folder, env={**os.environ, **outside}, capture_output=True, text=True, check=False)
    return found.returncode, " ".join((found.stdout or found.stderr).split())


def test_a_script_is_made_again_identical_and_what_was_changed_since_is_named(mine: Mine, notes: Path) -> None:
    code, shown = ran(mine, notes, str(notes / ".venv" / "bin" / "python"), "train.py")
    assert code == 0, shown
    run = shown.strip()
    code, shown = ran(mine, notes, *YARD, "reproduce", run)
    assert (code, f"run {run[:8]} is identical, " in shown) == (0, True), shown
    (notes / "parcels.csv").write_text((notes / "parcels.csv").read_text().replace("\n7,15\n", "\n7,99\n"))
    (notes / "steps.py").write_text(STEPS.replace("x * y", "2 * x * y"))
    code, shown = ran(mine, notes, *YARD, "reproduce", run, *CHANGES)
    assert code == 3, shown
    assert "is different" in shown
    assert ": metric library, metric slope came out otherwise" in shown
    for cause in (
        "data, parcels.csv is no longer what parcels was read from, 1 of 39 rows have other values in minutes.",
        "code, steps.py has other content.",
        "library, iniconfig 2.0.0 instead of 2.1.0.",
    ):
        assert f"Possible cause: {cause}" in shown
    with mine.client(mine.url) as control:
        page = control.get(f"/runs/{run}", headers={"Accept": "text/html"}).text
    assert [word in page for word in ("Identical", "with current data, current source, iniconfig==2.0.0")] == [True, True]
