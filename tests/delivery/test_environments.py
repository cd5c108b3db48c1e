"""Environments come to be once, whole, and leave nothing behind of a build that was killed."""

import fcntl
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from modelyard.delivery.environments import Build, EnvironmentFailed, built_environment
from modelyard.delivery.sources import own_package

PROJECT = '[project]\nname = "mine"\nversion = "0"\nrequires-python = ">=3.11"\n'


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A project that depends on nothing, with its lock."""
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(PROJECT)
    words = {**os.environ, "VIRTUAL_ENV": ""}
    subprocess.run([sys.executable, "-m", "uv", "lock", "--quiet", "--offline"], cwd=folder, check=True, env=words)
    return folder


def test_workers_that_want_one_environment_at_once_get_the_same_one(tmp_path: Path, source: Path) -> None:
    own, root = own_package(), tmp_path / "environments"
    with ThreadPoolExecutor(4) as pool:
        built = set(pool.map(lambda _: built_environment(Build(root=root, beat=lambda: None), source, own), range(4)))
    assert len(built) == 1
    assert len([path for path in root.iterdir() if not path.name.startswith(".")]) == 2


def test_what_a_killed_build_left_is_cleared_away_by_the_next(tmp_path: Path, source: Path) -> None:
    own, root = own_package(), tmp_path / "environments"
    built = Path(built_environment(Build(root=root, beat=lambda: None), source, own).interpreter).parents[1]
    (built.rename(built.with_name(f".{built.name}")) / "half").touch()
    again = built_environment(Build(root=root, beat=lambda: None), source, own)
    assert Path(again.interpreter).exists()
    assert {path.name for path in root.iterdir() if path.is_dir()} == {built.name, Path(again.own_folder).name}


class Told(Exception):
    """What a worker that is to end is told by."""


def test_a_build_ends_with_what_its_beat_raises_and_leaves_nothing_that_looks_finished(tmp_path: Path, source: Path) -> None:
    root, own = tmp_path / "environments", own_package()

    def beat() -> None:
        if any(path.is_dir() and not path.name.startswith(".modelyard") for path in root.glob(".*")):
            raise Told

    with pytest.raises(Told):
        built_environment(Build(root=root, beat=beat), source, own)
    assert [path.name for path in root.iterdir() if not path.name.startswith((".", "modelyard-"))] == []
    assert Path(built_environment(Build(root=root, beat=lambda: None), source, own).interpreter).exists()


def test_who_waits_for_anothers_build_is_told_to_end_too(tmp_path: Path, source: Path) -> None:
    root, own = tmp_path / "environments", own_package()
    built = Path(built_environment(Build(root=root, beat=lambda: None), source, own).interpreter).parents[1]
    built.rename(tmp_path / "away")
    beats = []

    def beat() -> None:
        beats.append(1)
        if len(beats) > 20:
            raise Told

    with built.with_name(f".{built.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(Told):
            built_environment(Build(root=root, beat=beat), source, own)
    assert not built.exists()


def test_a_project_without_a_lock_has_no_environment(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFailed, match=r"uv\.lock"):
        built_environment(Build(root=tmp_path / "environments", beat=lambda: None), tmp_path, b"")
