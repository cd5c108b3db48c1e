"""The command in this process, against a server that really listens."""

import contextlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from modelyard.access.domain import Role
from modelyard.cli.main import main
from tests.server.conftest import Running, running

__all__ = ["running"]


class Said(msgspec.Struct, frozen=True):
    """What a command said, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON document on standard output."""
        return json.loads(self.out)


Yard = Callable[..., Said]


@pytest.fixture
def yard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Yard:
    """Runs `yard WORDS` in an empty folder, as a user without logins."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("COLUMNS", "140")
    for name in ("MODELYARD_URL", "MODELYARD_TOKEN", "MODELYARD_GATEWAY_URL"):
        monkeypatch.delenv(name, raising=False)

    def run(*words: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["yard", *words])
        code = 0
        with contextlib.suppress(SystemExit):
            code = main()
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    return run


@pytest.fixture
def as_role(running: Running, monkeypatch: pytest.MonkeyPatch) -> Callable[[Role], None]:
    """Has the commands talk to the running server with a role's token."""

    def become(role: Role) -> None:
        monkeypatch.setenv("MODELYARD_URL", running.url)
        monkeypatch.setenv("MODELYARD_TOKEN", running.tokens[role])

    return become
