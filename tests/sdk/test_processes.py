"""Training processes that are killed, that meet a full disk, that run without a server: what was acknowledged arrives once, in order."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelyard.access.domain import Role
from modelyard.sdk.tracking.record import RECORD, RunRecord
from modelyard.sdk.tracking.spool import SPOOLS
from modelyard.server.data_folder import put_addresses
from modelyard.server.local import put_local_tokens
from modelyard.server.locks import RoleLock
from modelyard.server.spools import tick
from modelyard.tracking.spooled import File
from tests.live import YARD
from tests.sdk.conftest import Tracked, batches
from tests.serving.world import until

TRAINING = """
import sys, modelyard
run = modelyard.start(url={url!r}, folder={folder!r}, quiet=True, record=False, system_metrics=False)
for n in range(1_000_000):
    run.log({{"loss": float(n)}})
    if n % 7 == 0:
        run.flush()
        print(run.id, n, flush=True)
"""
FULL = """
import resource, sys, modelyard
from modelyard.sdk.tracking.spool import SpoolUnavailable

def filled():
    if sys.argv[1] == "limit":
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, resource.RLIM_INFINITY))
        return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    ballast = open({folder!r} + "/ballast", "wb", buffering=0)
    try:
        while True:
            ballast.write(b"x" * 4096)
    except OSError:
        return lambda: ballast.truncate(0)

run = modelyard.start(url={url!r}, folder={folder!r}, quiet=True, record=False, system_metrics=False)
run.log({{"loss": 0.0}})
run.flush()
freed = filled()
for n in range(1, 20_000):
    run.log({{"loss": float(n)}})
try:
    run.flush()
    print("flushed")
except SpoolUnavailable as error:
    print(error.code)
freed()
run.log({{"loss": 20_000.0}})
run.flush()
run.finish()
print(run.id)
"""


def ended(code: str, folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """A training process, brought to its end."""
    return subprocess.run([sys.executable, "-c", code, *words], cwd=folder, capture_output=True, text=True, check=True, timeout=120)


def yard(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([*YARD, *words, "--json"], cwd=folder, capture_output=True, text=True, check=False, timeout=60)


def test_a_killed_process_loses_nothing_that_was_acknowledged(tracked: Tracked, monkeypatch: pytest.MonkeyPatch) -> None:
    code = TRAINING.format(url=tracked.url, folder=str(tracked.folder))
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as training:
        assert training.stdout is not None
        told = [training.stdout.readline().split() for _ in range(12)]
        training.kill()
        told += [words for line in training.stdout.read().splitlines() if len(words := line.split()) == 2]
    run_id, last = told[-1]
    monkeypatch.setenv("MODELYARD_URL", tracked.url)
    done = yard(tracked.folder, "sync")
    assert done.returncode == 0, done.stderr
    assert [(one["run"], one["waiting"], one["refused"]) for one in json.loads(done.stdout)] == [(run_id, 0, [])]
    values = tracked.values(run_id, "loss")
    assert values == [float(n) for n in range(len(values))]
    assert len(values) > int(last)
    found = tracked.run(run_id)
    assert (found["facts"]["status"], found["metrics"][0]["points"], tracked.spools) == ("KILLED", len(values), [])


@contextlib.contextmanager
def small_disk() -> Iterator[Path | None]:
    """A folder on a disk of 1 MiB of its own; None where no disk can be mounted here."""
    with tempfile.TemporaryDirectory() as name:
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", name], capture_output=True, check=False).returncode == 0
        try:
            yield Path(name) if mounted else None
        finally:
            if mounted:
                subprocess.run(["umount", "-l", name], check=True)


def test_training_goes_on_beside_a_full_disk_and_loses_nothing(tracked: Tracked) -> None:
    with small_disk() as disk:
        folder = disk or tracked.folder
        done = ended(FULL.format(url=tracked.url, folder=str(folder)), tracked.folder, "disk" if disk else "limit")
        assert not list((folder / ".yard" / SPOOLS).glob("src_*"))
    told, run_id = done.stdout.split()
    assert told == "spool_unavailable"
    assert done.stderr.count("waits in memory") <= 1
    assert tracked.values(run_id, "loss") == [float(n) for n in range(20_001)]


NOTEBOOK = """
import modelyard
run = modelyard.start(name="first", seed=7, tolerance=0.01)
run.log({"loss": 0.5})
run.log_dataset("data.csv")
print(run.id)
raise ValueError
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project under git with one change that is not committed."""
    (tmp_path / "modelyard.toml").write_text("")
    (tmp_path / "data.csv").write_text("a\n1\n2\n")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "train.py").write_text(NOTEBOOK.replace("data.csv", "../data.csv"))
    for words in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-q", "-m", "x"]):
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *words], cwd=tmp_path, check=True)
    (tmp_path / "data.csv").write_text("a\n1\n2\n3\n")
    (tmp_path / "new.py").write_text("")
    return tmp_path


def test_without_a_server_a_run_waits_in_the_project_with_its_record(project: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MODELYARD_")}
    words = [sys.executable, "train.py", "--lr", "0.1"]
    done = subprocess.run(words, cwd=project / "sub", env=environment, capture_output=True, text=True, check=False)
    assert f"{project / '.yard'} (yard up shows it)" in done.stderr
    (spool,) = (project / ".yard" / SPOOLS).iterdir()
    found = batches(spool)
    assert found[-1].record.status == "FAILED"  # type: ignore[union-attr]  # it is the end
    contents = {one.record.path: (spool / "files" / one.content).read_bytes() for one in found if isinstance(one.record, File)}
    assert contents.keys() == {f"modelyard/{name}" for name in ("source.tar", "environment.txt", "record.json", "changes.diff")}
    assert b"\nmsgspec==" in contents["modelyard/environment.txt"]
    assert b"# editable: modelyard==" in contents["modelyard/environment.txt"]
    record = json.loads(contents[RECORD])
    assert record.keys() == set(RunRecord.__struct_fields__)
    assert (record["command"], record["folder"], record["format"]) == (["python", "train.py", "--lr", "0.1"], "sub", 1)
    assert (record["seeds"]["random"], record["tolerance"], record["is_dirty"], record["branch"]) == (7, 0.01, True, "main")
    assert record["untracked"] == ["new.py"]
    assert [(one["name"], one["path"], one["rows"]) for one in record["datasets"]] == [("data.csv", "data.csv", 3)]


def test_a_spool_in_the_data_folder_is_taken_in_by_its_worker(tracked: Tracked, monkeypatch: pytest.MonkeyPatch) -> None:
    installation = tracked.server.installation
    data = installation.settings.folder
    put_local_tokens(installation.database, data)
    monkeypatch.setenv("MODELYARD_DATA", str(data))
    monkeypatch.delenv("MODELYARD_TOKEN")
    (tracked.folder / "model.bin").write_bytes(b"model")
    with tracked.start(url="") as run:
        run.log({"loss": 0.5})
        run.log_artifact(tracked.folder / "model.bin")
        run.flush()
        assert not tick(installation)  # its writer lives
    assert yard(tracked.folder, "sync", str(data)).returncode == 4
    assert tick(installation)
    assert not tick(installation)
    assert (tracked.values(run.id, "loss"), tracked.run(run.id)["facts"]["status"]) == ([0.5], "FINISHED")
    with tracked.server.client(Role.VIEWER) as client:
        assert [one["path"] for one in client.get(f"/api/v1/runs/{run.id}/artifacts").json()] == ["model.bin"]


def test_a_run_goes_to_the_server_that_runs_on_its_folder(tracked: Tracked, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = tracked.server.installation.settings
    put_local_tokens(tracked.server.installation.database, settings.folder)
    monkeypatch.setenv("MODELYARD_DATA", str(settings.folder))
    monkeypatch.delenv("MODELYARD_TOKEN")
    with tracked.start(url="") as run:
        run.log({"loss": 0.5})
        run.flush()
        assert run.url == ""
        put_addresses(settings)
        with RoleLock(settings.folder, "server"):
            until(lambda: tracked.has(run.id, "loss"))
            assert run.url == f"{tracked.url}/runs/{run.id}"
            run.finish()
        assert run.url == ""  # the lock is gone, though the process that it names lives
    assert tracked.run(run.id)["facts"]["status"] == "FINISHED"
    assert not list((settings.folder / SPOOLS).glob("src_*"))


def test_the_token_for_another_server_is_not_sent_to_the_folders_own(tracked: Tracked, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = tracked.server.installation.settings
    put_local_tokens(tracked.server.installation.database, settings.folder)
    put_addresses(settings)
    monkeypatch.setenv("MODELYARD_TOKEN", "of another server")
    monkeypatch.setenv("MODELYARD_DATA", str(settings.folder))
    with tracked.start(url="") as run:
        run.log({"loss": 0.5})
    monkeypatch.setenv("MODELYARD_URL", "http://127.0.0.1:9")
    with RoleLock(settings.folder, "server"):
        done = yard(tracked.folder, "sync")
    assert done.returncode == 0, done.stderr
    assert tracked.values(run.id, "loss") == [0.5]


def test_a_spool_from_elsewhere_takes_no_token_away(tracked: Tracked) -> None:
    with tracked.start(url="http://127.0.0.1:9") as run:
        run.log({"loss": 0.5})
    done = yard(tracked.folder, "sync")
    (one,) = json.loads(done.stdout)
    assert (done.returncode, one["run"], one["waiting"]) == (4, run.id, 3)
    assert "yard login" in one["why"]
