"""`yard verify` as an auditor meets it: no server, exit code 0 or 1, one JSON document."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from tests.governance.bundles import Bundles

LOADED = "import sys, modelyard.governance.verification; print([name for name in {names} if name in sys.modules])"
HEAVY = ("sqlalchemy", "litestar", "polars", "numpy", "yaml", "httpx", "modelyard.storage")


def yard(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """What the command says."""
    command = [sys.executable, "-m", "modelyard.cli.main", "verify", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def trust(bundles: Bundles, tmp_path: Path) -> str:
    """The path of a trust file."""
    (tmp_path / "trust.json").write_bytes(msgspec.json.encode(bundles.trust()))
    return "trust.json"


def test_a_sound_bundle_ends_with_0_and_a_table(sound: Path, trust: str, tmp_path: Path) -> None:
    found = yard(str(sound), "--trust", trust, folder=tmp_path)
    assert found.returncode == 0, found.stderr
    assert "verified: 19 checks hold" in found.stdout


def test_a_tampered_one_ends_with_1_and_names_the_check(sound: Path, trust: str, tmp_path: Path) -> None:
    copy = shutil.copytree(sound, tmp_path / "copy")
    (copy / "model" / "model.txt").write_bytes(b"another tree\n")
    found = yard("copy", "--trust", trust, "--json", folder=tmp_path)
    told = json.loads(found.stdout)
    assert (found.returncode, told["verified"]) == (1, False)
    failed = [one["name"] for one in told["checks"] if not one["passed"]]
    assert failed[:2] == ["manifest", "model.sig"]


def test_a_trust_file_or_folder_that_is_none_is_told(sound: Path, trust: str, tmp_path: Path) -> None:
    for words in (
        (str(sound), "--trust", "nowhere.json"),
        (str(sound / "bom.cdx.json"), "--trust", trust),
        (".", "--trust", str(sound / "model.sig")),
    ):
        found = yard(*words, folder=tmp_path)
        assert (found.returncode, found.stdout) == (1, "")
        assert "yard:" in found.stderr


def test_verification_loads_no_database_no_server_and_no_numbers() -> None:
    found = subprocess.run([sys.executable, "-c", LOADED.format(names=HEAVY)], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"
