"""The words of the command: the overview, each command's help, what is said about wrong words, and what is loaded for it."""

import json
import re
import subprocess
import sys

import pytest

from modelyard.cli.table import COMMANDS, GROUPS
from tests.cli.conftest import Yard

HEAVY = ("cyclopts", "rich", "httpx", "numpy", "polars", "sqlalchemy", "litestar", "uvicorn", "lightgbm", "deltalake", "modelyard.server")
NAMES = [command.name for command in COMMANDS]


@pytest.mark.parametrize("words", [["--help"], ["--version"], []])
def test_the_overview_loads_nothing_heavy(words: list[str]) -> None:
    code = f"import sys; sys.argv[1:] = {words!r}; from modelyard.cli.main import main; main(); sys.stderr.write(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name for name in done.stderr.split() if name.startswith(HEAVY)}
    assert loaded == set()


def test_the_overview_lists_every_command_once_below_its_group(yard: Yard) -> None:
    said = yard("--help")
    found = re.findall(r"^  (\S+(?: \S+)?)  +\S", said.out, re.MULTILINE)
    assert sorted(found) == sorted(NAMES)
    assert {command.group for command in COMMANDS} == set(GROUPS)


@pytest.mark.parametrize("name", NAMES)
def test_every_command_explains_itself_with_an_example_of_its_own(yard: Yard, name: str) -> None:
    said = yard(*name.split(" "), "--help")
    assert said.code == 0, said.err
    assert re.search(rf"Example: yard {name}\b", " ".join(said.out.split())), said.out
    assert "--json" in said.out
    assert "--no-json" not in said.out


def test_the_version_is_told_to_people_and_programs(yard: Yard) -> None:
    assert yard("--version").out == f"yard {yard('--version', '--json').json['version']}\n"


@pytest.mark.parametrize(
    ("words", "near"),
    [
        (["statsu"], "did you mean status?"),
        (["tokn"], "did you mean token?"),
        (["token", "creat"], "did you mean create?"),
        (["token"], "yard token create"),
        (["ship"], "yard ship --help"),
        (["rollback", "late", "--too", "3"], "yard rollback --help"),
    ],
)
def test_wrong_words_are_answered_with_the_nearest_right_ones_and_2(yard: Yard, words: list[str], near: str) -> None:
    said = yard(*words)
    assert (said.code, said.out) == (2, "")
    assert near in said.err


def test_wrong_words_are_one_json_document_too(yard: Yard) -> None:
    said = yard("token", "creat", "--json")
    assert (said.code, said.json["error"]["code"], said.err) == (2, "wrong_usage", "")


def test_a_group_lists_its_commands(yard: Yard) -> None:
    said = yard("token", "--help")
    assert [name for name in NAMES if name.startswith("token ")] == re.findall(r"^  (token \w+)", said.out, re.MULTILINE)


def test_an_error_is_red_only_on_a_terminal() -> None:
    done = subprocess.run([sys.executable, "-m", "modelyard.cli.main", "statsu"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "\033" not in done.stderr
    assert json.dumps(done.stdout) == '""'
