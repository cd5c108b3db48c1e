"""The settings: a file, the environment, the words of a command, in that order; unknown keys are refused."""

from pathlib import Path

import pytest

from modelyard.core.errors import InvalidInput
from modelyard.core.settings import read_settings


def test_later_sources_override_earlier_ones(tmp_path: Path) -> None:
    file = tmp_path / "modelyard.toml"
    file.write_text('data = "from-file"\n[server]\nport = 1\n[worker]\nlease_s = 3.5\n')
    found = read_settings(file, {"MODELYARD_SERVER__PORT": "2", "MODELYARD_URL": "http://x", "HOME": "/"}, {"data": "from-words"})
    assert (found.data, found.server.port, found.worker.lease_s) == ("from-words", 2, 3.5)


def test_everything_has_a_default_inside_the_data_folder() -> None:
    found = read_settings(None, {}, {"data": "/d"})
    assert found.database_url == "sqlite:////d/modelyard.db"
    assert found.blobs_url == "file:///d/blobs"
    assert found.online_url == "lmdb:///d/online"


@pytest.mark.parametrize(
    ("environment", "near"),
    [({"MODELYARD_SERVER__PROT": "1"}, "did you mean port?"), ({"MODELYARD_SEVER__PORT": "1"}, "did you mean server?")],
)
def test_an_unknown_key_names_the_nearest_one(environment: dict[str, str], near: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_settings(None, environment, {})
    assert refused.value.hint == near


def test_a_value_of_another_type_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"server\.port"):
        read_settings(None, {"MODELYARD_SERVER__PORT": "many"}, {})


def test_a_file_that_is_no_toml_is_refused(tmp_path: Path) -> None:
    (tmp_path / "modelyard.toml").write_text("port = = 1")
    with pytest.raises(InvalidInput, match=r"modelyard\.toml"):
        read_settings(tmp_path / "modelyard.toml", {}, {})
