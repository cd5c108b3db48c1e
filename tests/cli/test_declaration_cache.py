"""What a project declares is asked of a child process once, and again when anything that decides it has changed."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import modelyard
from modelyard.cli.projects import declarations
from modelyard.core.errors import ModelyardError
from modelyard.delivery.sources import LOCK, MOST_FILE_BYTES, source_archive, unpack_source

COUNTED = "COUNTED"
MODELS = f"""
import os
from pathlib import Path
import polars as pl
from modelyard import Entity, FeatureView, Parquet, model, rows

with Path(os.environ["{COUNTED}"]).open("a") as counted:
    counted.write("x")
weather = FeatureView("weather", Entity("origin"), Parquet("weather.parquet", timestamp="at"), features=["wind"], ttl="3h")

@model(owner="ops", risk="minimal", purpose="Warn of late flights.", features=[weather], as_of="2h before scheduled_at",
       rows=rows("flights.parquet", timestamp="scheduled_at", known="landed_at"), request={{"distance": pl.Int64}}, label="late")
def late(rows):
    return None
"""
LARGE = b"#" * (MOST_FILE_BYTES + 1)
Children = Callable[[], int]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of one model, with a lock of more than 2 MB."""
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "modelyard.toml").write_text('[project]\nmodels = ["models"]\n')
    (folder / "models.py").write_text(MODELS)
    (folder / LOCK).write_bytes(LARGE)
    return folder


@pytest.fixture
def children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Children:
    """Says how many children have imported the project so far."""
    counted = tmp_path / "counted"
    counted.touch()
    monkeypatch.setenv(COUNTED, str(counted))
    return lambda: len(counted.read_text())


def names(folder: Path) -> list[str]:
    """The models that the project declares now."""
    return [one.name for one in declarations(folder, source_archive(folder))]


def test_a_second_look_at_the_same_project_starts_no_child(project: Path, children: Children) -> None:
    assert [names(project), names(project), children()] == [["late"], ["late"], 1]


@pytest.mark.usefixtures("children")
def test_a_declaration_that_breaks_a_rule_is_told_by_its_own_error_and_line(project: Path) -> None:
    (project / "models.py").write_text(MODELS.replace('ttl="3h"', 'ttl="-3h"'))
    with pytest.raises(ModelyardError) as refused:
        names(project)
    told = refused.value
    assert (told.code, "Traceback" in told.message) == ("invalid_declaration", False)
    assert told.message.startswith("models.py, line 9: ttl of view weather: '-3h' is no duration")


def test_a_view_that_no_model_reads_is_named_at_every_look(project: Path, children: Children, capsys: pytest.CaptureFixture[str]) -> None:
    idle = 'waves = FeatureView("waves", Entity("port"), Parquet("waves.parquet", timestamp="at"), features=["height"])\n'
    (project / "models.py").write_text(MODELS + idle)
    for _ in range(2):
        assert names(project) == ["late"]
        assert "no model has it among its features: waves\n" in capsys.readouterr().err
    assert children() == 1


@pytest.mark.parametrize("changed", [LOCK, "models.py"])
def test_a_changed_lock_or_source_is_looked_at_anew(project: Path, children: Children, changed: str) -> None:
    names(project)
    path = project / changed
    path.write_bytes(path.read_bytes() + b"\n# more\n")
    assert [names(project), children()] == [["late"], 2]


def test_another_modelyard_looks_anew(tmp_path: Path, project: Path, children: Children) -> None:
    copy = tmp_path / "copy" / "modelyard"
    shutil.copytree(Path(modelyard.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    code = (
        "import sys; from pathlib import Path; from modelyard.cli.projects import declarations; "
        "from modelyard.delivery.sources import source_archive; folder = Path(sys.argv[1]); declarations(folder, source_archive(folder))"
    )
    for expected in (1, 1):
        look(code, copy.parent, project)
        assert children() == expected
    path = copy / "sdk" / "declarations.py"
    path.write_text(path.read_text() + "\n# another one\n")
    look(code, copy.parent, project)
    assert children() == 2


def look(code: str, modules: Path, project: Path) -> None:
    """One look by another Modelyard."""
    subprocess.run([sys.executable, "-c", code, str(project)], check=True, env={**os.environ, "PYTHONPATH": str(modules)})


@pytest.mark.parametrize("ignored", ["", f"{LOCK}\n"])
def test_a_lock_of_any_size_is_a_part_of_the_source_other_large_files_are_not(tmp_path: Path, project: Path, ignored: str) -> None:
    (project / "data.csv").write_bytes(LARGE)
    (project / ".gitignore").write_text(ignored)
    subprocess.run(["git", "init", "--quiet"], cwd=project, check=True)
    unpack_source(source_archive(project), tmp_path / "unpacked")
    assert {path.name for path in (tmp_path / "unpacked").iterdir()} == {LOCK, "models.py", "modelyard.toml", ".gitignore"}
