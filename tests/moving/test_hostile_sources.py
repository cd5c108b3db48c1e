"""Sources that are not what they say: each ends with words, and nothing of it reaches a file system or another's data."""

import contextlib
import http.server
import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from modelyard.access.domain import Role
from modelyard.core.errors import ModelyardError
from modelyard.moving.domain import FilesUnreadable, Holder, SourceOdd, SourceRefuses, SourceUnreachable
from modelyard.moving.folders import FolderFiles
from modelyard.moving.sources import Address, _files, opened_source
from modelyard.sdk.client import Client
from modelyard.sdk.transport import RemoteError
from modelyard.tracking.domain import RunId
from tests.moving.conftest import Bring, Home, token_of

pytestmark = pytest.mark.xdist_group("moving")
RUN = "a" * 32
Answers = dict[str, Any]
Serve = Callable[[Answers], str]
EXPERIMENTS = {"experiments": [{"experiment_id": "5", "name": "x"}]}
ONE_RUN = {"runs": [{"info": {"run_id": RUN, "experiment_id": "5", "artifact_uri": "mlflow-artifacts:/5/r/artifacts"}}]}


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a server that answers each path with what it is given: bytes, JSON, or what a function makes of the query."""
    servers = []

    def started(answers: Answers) -> str:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("content-length", 0)))
                self.do_GET()

            def do_GET(self) -> None:
                found = answers.get(urlsplit(self.path).path.removeprefix("/api/2.0/mlflow/"), {})
                found = found() if callable(found) else found
                status, found = found if isinstance(found, tuple) else (200, found)
                content = found if isinstance(found, bytes) else json.dumps(found).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                """Says nothing."""

        made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=made.serve_forever, daemon=True).start()
        servers.append(made)
        return f"http://127.0.0.1:{made.server_port}"

    yield started
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("answers", "error", "words"),
    [
        ({"experiments/search": b"<html>hello</html>"}, SourceOdd, "not MLflow's"),
        ({"experiments/search": [[[1]]]}, SourceOdd, "not MLflow's"),
        ({"experiments/search": b"[" * 100_000}, SourceOdd, "not MLflow's"),
        ({"experiments/search": {"experiments": [{"experiment_id": "../1", "name": "x"}]}}, SourceOdd, "no id of an experiment"),
        ({"experiments/search": {**EXPERIMENTS, "next_page_token": "again"}}, SourceOdd, "go round"),
        ({"experiments/search": (302, {})}, SourceOdd, "answers 302"),
        ({"experiments/search": (401, {})}, SourceRefuses, "refuses the caller"),
        (
            {
                "experiments/search": EXPERIMENTS,
                "runs/search": {"runs": [{"info": {"run_id": RUN, "experiment_id": "5", "status": "ODD"}}]},
            },
            SourceOdd,
            "no status",
        ),
        (
            {"experiments/search": EXPERIMENTS, "runs/search": {"runs": [{"info": {"experiment_id": "5", "start_time": 2**62}}]}},
            SourceOdd,
            "fits 64 bits",
        ),
    ],
)
def test_a_server_that_answers_nonsense_is_told_so(serve: Serve, answers: Answers, error: type[ModelyardError], words: str) -> None:
    with opened_source(Address(url=serve(answers))) as source, pytest.raises(error, match=words):
        for experiment in source.experiments():
            list(source.runs(experiment.id))


def test_pages_that_never_end_are_left(serve: Serve) -> None:
    tokens = iter(range(10**9))
    url = serve({"experiments/search": lambda: {"next_page_token": str(next(tokens))}})
    with opened_source(Address(url=url)) as source, pytest.raises(SourceOdd, match="after an empty page"):
        list(source.experiments())


def test_a_path_that_leaves_its_folder_is_named_and_not_brought(serve: Serve, home: Home, bring: Bring) -> None:
    paths = ["../../etc/passwd", "/etc/passwd", "a/../../b", "a\\b", "C:/x", "..%2f..%2fx", "a\u202eb"]
    listed = {"files": [{"path": path, "is_dir": False, "file_size": 1} for path in paths] + [{"path": "good", "file_size": 4}]}
    good = "/api/2.0/mlflow-artifacts/artifacts/5/r/artifacts/good"
    answers = {"experiments/search": EXPERIMENTS, "runs/search": ONE_RUN, "artifacts/list": listed, good: b"good"}
    report = bring(serve(answers))
    assert [one.name for one in report.mismatches] == [f"{RUN}/{path}" for path in paths]
    with home.client() as client:
        (held,) = client.read_run_contents(run_ids=(RunId(RUN),))
        assert [artifact.path for artifact in held.artifacts] == ["good"]


def test_a_database_opens_no_file_outside_of_its_folder(tmp_path: Path) -> None:
    (tmp_path / "in/1/r/artifacts").mkdir(parents=True)
    (tmp_path / "in/1/r/artifacts/link").symlink_to("/etc/passwd")
    (tmp_path / "in/1/r/artifacts/good").write_text("good")
    files = FolderFiles([tmp_path / "in"], is_told=False)
    inside = Holder(id=RUN, artifact_uri=f"file://{tmp_path}/in/1/r/artifacts")
    assert [file.path for file in files.files(inside)] == ["good"]
    with pytest.raises(FilesUnreadable), files.content(inside, "link") as chunks:
        list(chunks)
    for uri in ("/etc", f"{tmp_path}/in/../../etc", "s3://bucket/2/r/artifacts"):
        with pytest.raises(FilesUnreadable, match="lie at"):
            list(files.files(Holder(id=RUN, artifact_uri=uri)))


def test_a_database_in_a_home_opens_nothing_but_mlflow_s_own_folders(tmp_path: Path) -> None:
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    for folder in (home / ".ssh", home / "mlruns/1/r/artifacts", elsewhere):
        folder.mkdir(parents=True)
        (folder / "file").write_text("content")
    (home / "mlartifacts").symlink_to(elsewhere)
    with contextlib.ExitStack() as stack:
        files = _files(Address(url=f"sqlite:///{home}/mlflow.db"), stack)
        kept = Holder(id=RUN, artifact_uri=f"{home}/mlruns/1/r/artifacts")
        assert [file.path for file in files.files(kept)] == ["file"]
        for uri in (f"{home}/.ssh", str(home), f"{home}/mlartifacts", str(elsewhere)):
            with pytest.raises(FilesUnreadable, match="lie at") as told:
                list(files.files(Holder(id=RUN, artifact_uri=uri)))
            assert "--artifacts WHERE" in told.value.hint


def test_a_database_that_is_not_mlflow_s_is_told_so(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "other.db").execute("CREATE TABLE runs (id)").connection.close()
    (tmp_path / "text.db").write_text("not a database at all, but long enough to look")
    for name, error in (("other.db", SourceOdd), ("text.db", SourceOdd), ("gone.db", SourceUnreachable)):
        with pytest.raises(error), opened_source(Address(url=f"sqlite:///{tmp_path}/{name}")):
            pass


def test_a_run_that_is_here_and_came_from_elsewhere_is_never_touched(serve: Serve, home: Home, bring: Bring) -> None:
    answers = {"experiments/search": EXPERIMENTS, "runs/search": ONE_RUN}
    bring(serve(answers), source="first")
    other = {"runs": [{"info": {**ONE_RUN["runs"][0]["info"], "run_name": "forged"}}]}
    report = bring(serve({**answers, "runs/search": other}), source="second")
    assert [(one.what, one.name) for one in report.mismatches] == [("run", RUN)]
    with home.client() as client:
        (held,) = client.read_run_contents(run_ids=(RunId(RUN),))
        assert held.run.facts.name == ""


def test_a_reader_brings_nothing(serve: Serve, home: Home, bring: Bring) -> None:
    reader = Client(home.url, token_of(home.installation, Role.VIEWER))
    with pytest.raises(RemoteError) as refused:
        bring(serve({"experiments/search": EXPERIMENTS}), client=reader)
    assert refused.value.code == "not_allowed"
