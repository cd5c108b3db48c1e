"""Runs of our own client: what is logged arrives once and in order, whatever becomes of the server meanwhile."""

import logging
import os
import signal
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from modelyard.access.domain import Role
from modelyard.core.clock import Instant
from modelyard.core.digests import digest_bytes
from modelyard.core.errors import InvalidInput, NotFound
from modelyard.core.ids import hex_id
from modelyard.sdk.client import Client
from modelyard.sdk.tracking.estimators import told
from modelyard.sdk.tracking.leftovers import read_refused
from modelyard.sdk.tracking.run import RunIsOver
from modelyard.sdk.tracking.sending import Remote, is_passing
from modelyard.sdk.tracking.spool import SPOOLS, Head, SpoolWriter
from modelyard.sdk.transport import Unreachable
from modelyard.storage.rows import digest_frame
from modelyard.tracking.domain import PathRefused, RunId
from modelyard.tracking.spooled import File, Resumed, new_source_id
from tests.sdk.conftest import Line, Tracked
from tests.serving.world import until

ROWS = pl.DataFrame({"hour": [9, 3], "late": [0.5, None], "origin": ["JFK", "EWR"]})


def test_what_is_logged_arrives(tracked: Tracked) -> None:
    (tracked.folder / "model").mkdir()
    (tracked.folder / "model" / "weights.bin").write_bytes(b"w" * 3_000_000)
    with tracked.start(experiment="flights", name="first", params={"depth": 6}, tags={"why": "test"}) as run:
        run.log({"loss": 0.5, "auc": np.float64(0.75)})
        run.log({"loss": 0.25})
        run.log({"loss": float("nan")}, step=10)
        run.log_params({f"p{n}": n for n in range(150)})
        run.tag(done="yes")
        run.log_artifact(tracked.folder / "model", folder="out")
        digest = run.log_dataset(ROWS, name="flights", path="data/flights.parquet")
    found = tracked.run(run.id)
    assert (found["facts"]["name"], found["facts"]["status"]) == ("first", "FINISHED")
    assert {one["key"]: (one["value"], one["step"]) for one in found["metrics"]} == {"auc": (0.75, 0), "loss": (None, 10)}
    assert tracked.values(run.id, "loss") == [0.5, 0.25, None]
    assert found["params"] == {"depth": "6", **{f"p{n}": str(n) for n in range(150)}}
    assert (found["tags"]["why"], found["tags"]["done"]) == ("test", "yes")
    assert found["datasets"][0]["dataset"]["digest"] == digest == digest_frame(ROWS) == found["facts"]["snapshot_digest"]
    with tracked.server.client(Role.VIEWER) as client:
        files = client.get(f"/api/v1/runs/{run.id}/artifacts", params={"folder": "out/model"}).json()
    assert [(one["path"], one["digest"]) for one in files] == [("out/model/weights.bin", digest_bytes(b"w" * 3_000_000))]
    assert (run.summary["auc"], run.url, tracked.spools) == (0.75, f"{tracked.url}/runs/{run.id}", [])


@pytest.mark.parametrize(("error", "status"), [(ValueError, "FAILED"), (KeyboardInterrupt, "KILLED"), (SystemExit, "FINISHED")])
def test_an_error_says_how_the_run_ended(tracked: Tracked, error: type[BaseException], status: str) -> None:
    with pytest.raises(error), tracked.start() as run:
        raise error
    assert tracked.run(run.id)["facts"]["status"] == status


def test_a_run_goes_on_under_its_id_and_has_parts(tracked: Tracked) -> None:
    with tracked.start() as run:
        run.log({"loss": 1.0}, step=0)
        with tracked.start(parent=run) as part:
            part.log({"loss": 7.0})
    with tracked.start(resume=run.id) as again:
        again.log({"loss": 0.5}, step=1)
    assert tracked.values(run.id, "loss") == [1.0, 0.5]
    assert tracked.run(run.id)["facts"]["status"] == "FINISHED"
    assert tracked.run(part.id)["tags"]["mlflow.parentRunId"] == run.id


def test_what_is_no_number_or_name_is_refused_at_once(tracked: Tracked) -> None:
    with tracked.start() as run:
        for wrong in ({"loss": "0.5"}, {"loss": object()}, {"../loss": 1.0}, {"": 1.0}):
            with pytest.raises(InvalidInput):
                run.log(wrong)  # type: ignore[arg-type]  # hostile
        for text in ("a\ud800", b"\xff".decode("utf-8", "surrogateescape")):
            with pytest.raises(InvalidInput):
                run.log_param("text", text)
        for step in ("x", 2**63, float("inf")):
            with pytest.raises(InvalidInput):
                run.log({"loss": 1.0}, step=step)  # type: ignore[arg-type]  # hostile
        with pytest.raises(NotFound):
            run.log_artifact(tracked.folder / "missing")
        (tracked.folder / "here").write_text("x")
        with pytest.raises(PathRefused):
            run.log_artifact(tracked.folder / "here", folder="../up")
    with pytest.raises(RunIsOver):
        run.log({"loss": 1.0})
    assert tracked.run(run.id)["metrics"] == []


def test_what_the_server_refuses_is_set_aside_and_holds_nothing_up(tracked: Tracked, caplog: pytest.LogCaptureFixture) -> None:
    with tracked.start(params={"depth": 6}) as run:
        run.log_param("depth", 7)
        run.log_param("depth", 8)
        run.log({"loss": 1.0})
    assert (tracked.values(run.id, "loss"), tracked.run(run.id)["params"]) == ([1.0], {"depth": "6"})
    (spool,) = tracked.spools
    assert [one.error.code for one in read_refused(spool)] == ["param_is_set", "param_is_set"]
    assert len([one for one in caplog.records if one.levelno == logging.WARNING]) == 1


def test_a_spool_from_elsewhere_uploads_to_its_own_run_alone(tracked: Tracked, monkeypatch: pytest.MonkeyPatch) -> None:
    with tracked.start() as run:
        run.log({"loss": 0.5})
    content = tracked.folder / "content"
    content.write_bytes(b"mine")
    with Client(tracked.url, tracked.server.tokens[Role.CONTRIBUTOR]) as client:
        uploads: list[str] = []
        monkeypatch.setattr(client, "send_stream", lambda method, path, stream: uploads.append(path))
        head = Head(source=new_source_id(), run_id=run.id, name="swift-heron", url=tracked.url)
        with pytest.raises(PathRefused):
            Remote(client).put_file(head, File(path="../../../../../../v1/sources", digest=digest_bytes(b"mine"), size_bytes=4), content)
    assert uploads == []


def test_a_run_that_the_server_refuses_waits_whole(tracked: Tracked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELYARD_TOKEN", tracked.server.tokens[Role.VIEWER])
    with tracked.start() as run:
        run.log({"loss": 1.0})
    (spool,) = tracked.spools
    assert [one.error.code for one in read_refused(spool)] == ["not_allowed"]
    assert list(spool.glob("*.frames"))
    assert run.id


def test_a_disk_that_cannot_be_read_is_told_and_tried_again(tracked: Tracked, caplog: pytest.LogCaptureFixture) -> None:
    with tracked.start() as run:
        run.flush()
        (spool,) = tracked.spools
        (segment,) = spool.glob("*.frames")
        held = segment.rename(spool / "held")
        segment.mkdir()  # reading it is an error of the operating system's
        until(lambda: "the disk says" in caplog.text)
        run.log({"loss": 0.5})
        segment.rmdir()
        held.rename(segment)
        until(lambda: tracked.has(run.id, "loss"))
    assert (tracked.values(run.id, "loss"), tracked.spools) == ([0.5], [])


def test_nothing_is_lost_or_doubled_while_the_server_is_away_and_answers_go_astray(tracked: Tracked, line: Line) -> None:
    line.join()
    with tracked.start(url=line.url) as run:
        run.log({"loss": 0.0})
        until(lambda: tracked.has(run.id, "loss"))
        line.swallows = True
        run.log({"loss": 1.0})
        assert line.swallowed.wait(30)
        line.cut()
        for n in range(2, 500):
            run.log({"loss": float(n)})
        line.swallows = False
        line.join()
    assert tracked.spools == []
    assert tracked.values(run.id, "loss") == [float(n) for n in range(500)]
    assert tracked.run(run.id)["metrics"][0]["points"] == 500


def test_what_a_run_left_the_next_one_delivers(tracked: Tracked, line: Line) -> None:
    with tracked.start(url=line.url) as run:
        run.log({"loss": 3.0})
    assert len(tracked.spools) == 1
    line.join()
    with tracked.start(url=line.url, resume=run.id) as again:
        again.log({"loss": 2.0}, step=1)
    assert (tracked.values(run.id, "loss"), tracked.spools) == ([3.0, 2.0], [])


def test_a_leftover_that_is_not_taken_yet_holds_no_other_run_up(tracked: Tracked, caplog: pytest.LogCaptureFixture) -> None:
    for run_id in ("a" * 32, hex_id()):  # the second of them is resumed again below
        left = SpoolWriter(tracked.folder / ".yard" / SPOOLS, Head(source=new_source_id(), run_id=RunId(run_id), name="x", url=tracked.url))
        left.put(Resumed(at=Instant(5)), Instant(5))
        left.sync()
        left.close()
    with caplog.at_level(logging.WARNING), tracked.start() as run:
        run.log({"loss": 1.0})
        until(lambda: tracked.has(run.id, "loss"))
        run.log({"loss": 0.5})
    assert tracked.values(run.id, "loss") == [1.0, 0.5]
    assert not [one for one in caplog.records if "waits in its spool" in one.message]
    again = tracked.start(resume=run_id)
    until(lambda: again._outbox.sender._reader is not None and again._outbox.sender._reader.tries > 0)
    again.finish()
    assert len(tracked.spools) == 3


def test_logging_takes_at_most_5_us_of_the_training(tracked: Tracked) -> None:
    calls, taken = 10_000, []
    with tracked.start(url="http://127.0.0.1:9") as run:
        for _ in range(3):
            started = time.thread_time()
            for step in range(calls):
                run.log({"loss": 0.5}, step=step)
            taken.append((time.thread_time() - started) / calls)
    assert min(taken) < 5e-6


def test_a_page_in_the_place_of_an_answer_is_no_server_of_ours(tracked: Tracked, monkeypatch: pytest.MonkeyPatch) -> None:
    with Client("http://127.0.0.1:9") as client:
        monkeypatch.setattr(client, "send", lambda *words, **given: b"<html>log in here</html>")
        with pytest.raises(Unreachable) as raised:
            client.get_me()
    assert is_passing(raised.value)


def test_a_forked_child_has_no_part_in_the_run(tracked: Tracked) -> None:
    with tracked.start() as run:
        child = os.fork()
        if child == 0:
            run.log({"loss": 9.0})
            run.finish()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        run.log({"loss": 1.0})
    assert tracked.values(run.id, "loss") == [1.0]


def test_a_child_that_is_forked_while_the_disk_is_written_neither_waits_nor_writes(tracked: Tracked) -> None:
    run = tracked.start()
    with run._outbox._packing:  # as the parent's thread has it while it writes
        child = os.fork()
        if child == 0:
            signal.alarm(20)
            run.flush()
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    run.finish()


def test_steps_end_where_64_bits_do(tracked: Tracked) -> None:
    with tracked.start() as run:
        run.log({"loss": 1.0}, step=2**63 - 1)
        run.log({"loss": 0.5})
        run.flush()
    assert tracked.values(run.id, "loss") == [1.0, 0.5]


def test_frames_of_pandas_arrays_and_files_have_a_digest(tracked: Tracked) -> None:
    pandas = pytest.importorskip("pandas")
    path = tracked.folder / "rows.parquet"
    ROWS.write_parquet(path)
    (tracked.folder / "notes.txt").write_text("x")
    with tracked.start() as run:
        digests = {run.log_dataset(data, context="evaluation") for data in (ROWS, ROWS.lazy(), path, str(path))}
        assert digests == {digest_frame(ROWS)}
        frame = pandas.DataFrame({"hour": [9, 3], "origin": ["JFK", None]})
        assert run.log_dataset(frame) == digest_frame(pl.DataFrame({"hour": [9, 3], "origin": ["JFK", None]}))
        assert run.log_dataset(np.zeros((2, 3))).startswith("sha256:")
        assert run.log_dataset(tracked.folder / "notes.txt") == digest_bytes(b"x")
        with pytest.raises(InvalidInput):
            run.log_dataset(object())
        with pytest.raises(NotFound):
            run.log_dataset(Path("nowhere.parquet"))


def test_a_run_says_how_its_estimator_was_made_and_what_it_learned(tracked: Tracked) -> None:
    lightgbm = pytest.importorskip("lightgbm")
    with tracked.start() as run:
        run.log_estimator(lightgbm.LGBMClassifier(num_leaves=9, learning_rate=np.float64(0.5)))
        run.log_dataset(ROWS, target="late")
        with pytest.raises(InvalidInput) as refused:
            run.log_dataset(ROWS, target="lat")
        with pytest.raises(InvalidInput):
            run.log_estimator(object())
    assert refused.value.hint == "did you mean late?"
    found = tracked.run(run.id)
    made = '{"expression":"LGBMClassifier(learning_rate=0.5, num_leaves=9)","modules":{"LGBMClassifier":"lightgbm.sklearn"}}'
    assert (found["tags"]["estimator_class"], found["tags"]["modelyard.estimator"]) == ("lightgbm.sklearn.LGBMClassifier", made)
    assert [one["tags"]["modelyard.target"] for one in found["datasets"]] == ["late"]


def test_an_estimator_that_fits_into_no_tag_is_told_by_its_name() -> None:
    lightgbm = pytest.importorskip("lightgbm")
    assert told(lightgbm.LGBMClassifier(objective="x" * 5000)) == {"estimator_name": "LGBMClassifier"}
