"""Files made by hand: each is refused with an error of ours, and none brings the process down, hangs it or leads out of its folder."""

import importlib
import io
import subprocess
import sys
import zipfile
from pathlib import Path

import msgspec
import numpy as np
import pytest
import skops.io

from modelyard.registry.domain import BadArtifact, Column, Format, Signature
from modelyard.registry.formats import FILES, HEADER, Header, content_digest, load

TWO = Signature(inputs=tuple(Column(name=name, dtype="float64") for name in "ab"))
LOST = b"99999999 99999999"
TREE = b"""Tree=0
num_leaves=3
num_cat=0
split_feature=0 1
threshold=0.5 0.5
decision_type=2 2
left_child=1 -2
right_child=-1 -3
leaf_value=1 2 3
is_linear=0
shrinkage=1


"""
HEAD = b"""tree
version=v4
num_class=1
num_tree_per_iteration=1
label_index=0
max_feature_idx=1
objective=regression
feature_names=a b
feature_infos=[0:1] [0:1]
"""


def text(old: bytes = b"", new: bytes = b"", more: bytes = b"") -> bytes:
    """A LightGBM text of one tree, with `old` in it replaced by `new` and `more` lines in its head."""
    tree = TREE.replace(old, new) if old else TREE
    return HEAD + more + b"tree_sizes=%d\n\n" % len(tree) + tree + b"end of trees\n"


def folder_of(path: Path, kind: Format, content: bytes) -> Path:
    """A folder with this file of a format, whatever it holds."""
    (path / FILES[kind]).write_bytes(content)
    (path / HEADER).write_bytes(msgspec.json.encode(Header(format=kind, signature=TWO)))
    return path


def test_the_text_that_the_others_are_made_of_is_a_model(tmp_path: Path) -> None:
    loaded = load(folder_of(tmp_path, Format.LIGHTGBM, text()))
    assert loaded.predict(np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0]])).tolist() == [2, 3, 1]


@pytest.mark.parametrize(
    "content",
    [
        text(b"shrinkage=1", b"shrinkage=1\rleft_child=" + LOST),
        text(b"shrinkage=1", b"shrinkage=1\n left_child=" + LOST),
        text(b"num_cat=0", b"num_cat=0\n\tnum_leaves=300000"),
        text(more=b"x=1\rtree_sizes=99999999 7\n"),
        text(more=b" tree_sizes=99999999\n"),
        text(b"split_feature=0 1", b"split_feature=0 0_1"),
        text(b"split_feature=0 1", "split_feature=0 \u0661".encode()),
        text(b"split_feature=0 1", b"split_feature=0 70000"),
        text(b"left_child=1 -2", b"left_child=0 -2"),
        text(b"left_child=1 -2", b"left_child=" + LOST),
        text(b"num_leaves=3", b"num_leaves=2000000000"),
        text(b"decision_type=2 2", b"decision_type=1 2"),
        text(b"leaf_value=1 2 3", b"leaf_value=1 2"),
        text()[:200],
    ],
)
def test_a_text_that_the_library_would_read_otherwise_than_its_check_is_refused(tmp_path: Path, content: bytes) -> None:
    # In a process of its own: the first of these led the C library out of its memory.
    folder = folder_of(tmp_path, Format.LIGHTGBM, content)
    ask = f"load(Path({str(folder)!r})).predict(np.zeros((64, 2)))"
    code = f"import numpy as np\nfrom pathlib import Path\nfrom modelyard.registry.formats import load\n{ask}"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, "BadArtifact" in ran.stderr) == (1, True), ran.stderr


def archive(schema: bytes, files: dict[str, bytes] | None = None) -> bytes:
    """A skops file by hand."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as opened:
        for name, content in {"schema.json": schema, **(files or {})}.items():
            opened.writestr(name, content)
    return stream.getvalue()


def huge_arrays() -> bytes:
    """A real model whose arrays' headers each promise some 700 TiB."""
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999,), }".ljust(117) + b"\n"
    array = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    rows = np.random.default_rng(3).normal(size=(50, 2))
    model = importlib.import_module("sklearn.linear_model").LinearRegression().fit(rows, rows[:, 0])
    with zipfile.ZipFile(io.BytesIO(skops.io.dumps(model))) as opened:
        return archive(opened.read("schema.json"), {name: array for name in opened.namelist() if name.endswith(".npy")})


LIST = b'{"__class__":"list","__module__":"builtins","__loader__":"ListNode","content":['
DEEP = b'{"protocol":2,' + LIST[1:] + LIST * 300 + b"]}" * 301


@pytest.mark.parametrize(
    "content",
    [
        archive(b"{}"),
        archive(b"[]"),
        archive(b"no json"),
        archive(b'{"protocol":2,"__loader__":"ObjectNode"}'),
        archive(b'{"protocol":true}'),
        archive(DEEP),
        skops.io.dumps([1, 2]),
        skops.io.dumps([1, 2])[:100],
        huge_arrays(),
        b"",
    ],
    ids=lambda content: f"{len(content)}-bytes",  # an archive's bytes hold the time at which it was made
)
def test_a_skops_file_by_hand_is_refused_and_its_digest_is_no_crash(tmp_path: Path, content: bytes) -> None:
    folder = folder_of(tmp_path, Format.SKOPS, content)
    with pytest.raises(BadArtifact):
        load(folder)
    try:
        content_digest(folder)
    except BadArtifact as error:
        assert error.hint


@pytest.mark.parametrize("content", [b"", b"\x3a\x02ab", b"\xff" * 64, b"\x3a\xff\xff\xff\xff\x0f"])
def test_bytes_that_are_no_onnx_model_are_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(BadArtifact):
        load(folder_of(tmp_path, Format.ONNX, content))


@pytest.mark.parametrize("kind", list(FILES))
def test_a_file_that_leads_out_of_the_folder_is_not_read(tmp_path: Path, kind: Format) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    folder_of(inside, kind, text())
    (inside / FILES[kind]).rename(tmp_path / "outside")
    (inside / FILES[kind]).symlink_to(tmp_path / "outside")
    for read in (load, content_digest):
        with pytest.raises(BadArtifact, match="out of the folder"):
            read(inside)
