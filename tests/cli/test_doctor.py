"""The doctor: finds what is wrong, changes nothing, and ends with 1 where something is bad."""

import socket
from pathlib import Path

import pytest

from modelyard.core.settings import read_settings
from modelyard.server.installation import opened
from tests.cli.conftest import Said, Yard
from tests.servers import free_port


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder of an installation that does not run."""
    with opened(read_settings(None, {}, {"data": str(tmp_path / ".yard")})):
        pass
    return tmp_path / ".yard"


def states(said: Said) -> dict[str, str]:
    return {one["what"]: one["state"] for one in said.json}


def test_a_sound_folder_that_does_not_run_has_nothing_bad(yard: Yard, folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if "modelyard.db" not in path.name}
    said = yard("doctor", "--json")
    assert said.code == 0, said.out
    assert "bad" not in states(said).values()
    assert (states(said)["schema"], states(said)["server"]) == ("good", "note")
    assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("*") if "modelyard.db" not in path.name}


def test_a_key_that_others_may_read_is_bad_and_the_remedy_is_named(yard: Yard, folder: Path) -> None:
    (folder / "keys" / "log.key").chmod(0o644)
    said = yard("doctor", "--json")
    assert (said.code, states(said)["key log.key"]) == (1, "bad")
    assert "chmod 600" in yard("doctor").out


def test_a_database_that_is_no_database_is_bad(yard: Yard, folder: Path) -> None:
    for path in folder.glob("modelyard.db*"):
        path.unlink()
    assert states(yard("doctor", "--json"))["database"] == "bad"
    assert not (folder / "modelyard.db").exists()
    (folder / "modelyard.db").write_bytes(b"nothing of the kind" * 500)
    assert states(yard("doctor", "--json"))["database"] == "bad"


def test_a_ray_cluster_that_does_not_answer_is_bad(yard: Yard, folder: Path, tmp_path: Path) -> None:
    assert "ray" not in states(yard("doctor", "--json"))
    (tmp_path / "modelyard.toml").write_text(f'[worker]\nray = "ray://127.0.0.1:{free_port()}"\n')
    assert states(yard("doctor", "--json"))["ray"] == "bad"
    with socket.create_server(("127.0.0.1", 0)) as listening:
        (tmp_path / "modelyard.toml").write_text(f'[worker]\nray = "127.0.0.1:{listening.getsockname()[1]}"\n')
        assert states(yard("doctor", "--json"))["ray"] == "good"


def test_no_folder_and_a_wrong_setting_are_said(yard: Yard, tmp_path: Path) -> None:
    assert states(yard("doctor", "--json"))["data folder"] == "bad"
    assert not (tmp_path / ".yard").exists()
    (tmp_path / "modelyard.toml").write_text("[server]\nprot = 7700\n")
    said = yard("doctor", "--json")
    assert "did you mean" in said.json[-1]["todo"]
    assert "port" in said.json[-1]["todo"]
