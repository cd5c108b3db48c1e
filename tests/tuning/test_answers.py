"""What a node of a cluster answers is read as files and JSON alone: nothing that it says leads elsewhere."""

import io
import tarfile
from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest

from modelyard.core.clusters import refusal
from modelyard.core.digests import digest_bytes
from modelyard.tuning.cluster.messages import DIFFERS, RESULT, Order
from modelyard.tuning.cluster.node import Training
from modelyard.tuning.cluster.remote import unpacked
from modelyard.tuning.domain import ClusterDiffers

DIGEST = digest_bytes(b"an environment")
GOOD = f'{{"environment": "{DIGEST}"}}'.encode()


def answer(path: Path, members: Iterable[tuple[tarfile.TarInfo, bytes]]) -> Path:
    """An archive of these members."""
    with tarfile.open(path, "w") as archive:
        for entry, content in members:
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def link(name: str, kind: bytes, to: str) -> tarfile.TarInfo:
    """A link to somewhere."""
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, to
    return entry


def test_an_answer_is_its_result_and_the_model_beside_it(tmp_path: Path) -> None:
    members = [(tarfile.TarInfo(RESULT), GOOD), (tarfile.TarInfo("model/model.txt"), b"tree")]
    result = unpacked(answer(tmp_path / "answer.tar", members), tmp_path / "into")
    assert (result.environment, result.error) == (DIGEST, None)
    assert (tmp_path / "into/model/model.txt").read_bytes() == b"tree"


@pytest.mark.parametrize(
    "members",
    [
        [(tarfile.TarInfo(RESULT), GOOD), (tarfile.TarInfo("../outside"), b"")],
        [(tarfile.TarInfo(RESULT), GOOD), (link("model", tarfile.SYMTYPE, "/etc"), b"")],
        [(tarfile.TarInfo(RESULT), GOOD), (link("model", tarfile.LNKTYPE, RESULT), b"")],
        [(tarfile.TarInfo(RESULT), b"\x80\x04N.")],
        [(tarfile.TarInfo("other"), b"")],
        [(tarfile.TarInfo(RESULT), GOOD), *((tarfile.TarInfo(f"model/{number}"), b"") for number in range(1_000))],
    ],
    ids=["outside", "symbolic link", "hard link", "a pickle", "no result", "too many"],
)
def test_a_hostile_answer_is_refused_and_reaches_nothing(tmp_path: Path, members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    path = answer(tmp_path / "answer.tar", members)
    with pytest.raises(ClusterDiffers):
        unpacked(path, tmp_path / "into")
    assert not (tmp_path / "outside").exists()


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "answer.tar").write_bytes(b"no archive")
    with pytest.raises(ClusterDiffers):
        unpacked(tmp_path / "answer.tar", tmp_path / "into")


@pytest.mark.parametrize("address", ["", "somewhere", "host:", ":6379", "host:70000", "http://host", "ray://host"])
def test_what_is_no_address_is_refused_unasked(address: str) -> None:
    assert "HOST:PORT" in refusal(address)


def test_a_node_that_runs_another_modelyard_refuses_and_leaves_nothing(tmp_path: Path) -> None:
    order = Order(
        requirements="",
        python="3.11.0",
        modelyard=digest_bytes(b"another"),
        job={},
        threads=1,
        timeout_s=1.0,
        reports="",
        higher_is_better=True,
    )
    training = Training(tmp_path / "node")
    (tmp_path / "answer.tar").write_bytes(training.train(msgspec.json.encode(order), b"", b"", b""))
    result = unpacked(tmp_path / "answer.tar", tmp_path / "into")
    assert result.error is not None
    assert (result.error.code, result.environment) == (DIFFERS, None)
    training.end()
    assert not (tmp_path / "node").exists()
