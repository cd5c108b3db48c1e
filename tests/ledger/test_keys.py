"""The key file: made once, private, and of one log."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from modelyard.ledger.domain import NoteInvalid, WrongLogKey
from modelyard.ledger.rules.note import opened_note
from modelyard.ledger.service import LogKey


def test_the_first_start_makes_a_private_key_that_later_starts_find(tmp_path: Path) -> None:
    path = tmp_path / "data" / "ledger.key"
    first, second = LogKey.open(path), LogKey.open(path)
    assert first.verifier == second.verifier
    assert first.origin.startswith("modelyard.local/")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [found.name for found in path.parent.iterdir()] == ["ledger.key"]
    assert opened_note(first.sign("text\n"), [second.verifier]) == "text\n"


def test_processes_that_start_at_once_get_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        keys = list(pool.map(lambda _: LogKey.open(tmp_path / "ledger.key"), range(64)))
    assert len({key.verifier.text for key in keys}) == 1


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger.key"
    LogKey.open(path)
    path.chmod(0o640)
    with pytest.raises(WrongLogKey, match="others may read") as caught:
        LogKey.open(path)
    assert "chmod 600" in caught.value.hint


def test_a_key_of_another_log_is_refused(tmp_path: Path) -> None:
    LogKey.open(tmp_path / "ledger.key", origin="example.com/one")
    with pytest.raises(WrongLogKey, match=r"example\.com/one, expected example\.com/two"):
        LogKey.open(tmp_path / "ledger.key", origin="example.com/two")


def test_a_damaged_key_file_is_named_and_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "ledger.key"
    for content in (b"", b"PRIVATE+KEY+x", b"\xff\xfe"):
        path.write_bytes(content)
        path.chmod(0o600)
        with pytest.raises(NoteInvalid, match="holds no key"):
            LogKey.open(path)
        assert path.read_bytes() == content


def test_the_secret_is_not_in_the_representation(tmp_path: Path) -> None:
    path = tmp_path / "ledger.key"
    key = LogKey.open(path)
    assert path.read_text().strip()[-20:] not in repr(key)
    assert repr(key) == f"LogKey({key.verifier.text})"
