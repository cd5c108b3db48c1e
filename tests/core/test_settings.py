"""The settings: a file, the environment, the words of a command, in that order; unknown keys are refused."""

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from modelyard.core.errors import InvalidInput
from modelyard.core.settings import Settings, read_settings


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


def keys_of(kind: type[msgspec.Struct], where: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The path of each setting."""
    for field in msgspec.structs.fields(kind):
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            yield from keys_of(field.type, (*where, field.name))
        else:
            yield (*where, field.name)


def value_of(settings: msgspec.Struct, path: tuple[str, ...]) -> Any:
    return functools.reduce(getattr, path, settings)


WORDS: dict[str, tuple[str, Any]] = {
    "features.compute": ("processes", "processes"),
    "features.connection_teams": ('{"warehouse": ["fraud"]}', {"warehouse": ("fraud",)}),
}
"""Settings that take some words only, or a shape of their own."""


@pytest.mark.parametrize("path", list(keys_of(Settings)), ids=".".join)
def test_each_setting_can_be_given_in_the_environment(path: tuple[str, ...]) -> None:
    default = value_of(Settings(), path)
    given: dict[type, tuple[str, Any]] = {
        bool: ("false", False) if default else ("true", True),
        int: ("41", 41),
        float: ("0.75", 0.75),
        str: ("told", "told"),
        tuple: ("one, two:80", ("one", "two:80")),
        dict: ('{"aws_region": "x"}', {"aws_region": "x"}),
    }
    text, expected = WORDS.get(".".join(path)) or given[type(default)]
    found = read_settings(None, {"MODELYARD_" + "__".join(path).upper(): text}, {})
    assert value_of(found, path) == expected != default
    others = [other for other in keys_of(Settings) if other != path]
    assert [value_of(found, other) for other in others] == [value_of(Settings(), other) for other in others]


def test_a_list_may_be_json_or_empty() -> None:
    name = "MODELYARD_FEATURES__ROOTS"
    assert read_settings(None, {name: '["/a, b", "/c"]'}, {}).features.roots == ("/a, b", "/c")
    assert read_settings(None, {name: ""}, {}).features.roots == ()
    with pytest.raises(InvalidInput, match="is no JSON") as refused:
        read_settings(None, {name: '["/a'}, {})
    assert "a,b" in refused.value.hint


def test_a_value_of_another_type_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"server\.port"):
        read_settings(None, {"MODELYARD_SERVER__PORT": "many"}, {})


def test_a_file_that_is_no_toml_is_refused(tmp_path: Path) -> None:
    (tmp_path / "modelyard.toml").write_text("port = = 1")
    with pytest.raises(InvalidInput, match=r"modelyard\.toml"):
        read_settings(tmp_path / "modelyard.toml", {}, {})
