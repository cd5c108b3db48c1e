"""Hostile LightGBM texts: each size, length and index that the library trusts is checked before it sees the text."""

import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from lightgbm import LGBMClassifier

from modelyard.core.errors import ModelyardError
from modelyard.registry.domain import BadArtifact, FormatRefused
from modelyard.registry.formats.lightgbm_text import check_text, header_of
from tests.registry.conftest import FLIGHTS, lightgbm_model, training

TEXT = lightgbm_model().booster_.model_to_string().encode()


def grown(pattern: bytes, replacement: bytes) -> bytes:
    """The text with its first match replaced and the sizes of its trees put right again."""
    text = re.sub(pattern, replacement, TEXT, count=1)
    assert text != TEXT
    blocks = re.split(rb"(?=Tree=\d+\n)", text.partition(b"end of trees")[0])[1:]
    sizes = b" ".join(str(len(block)).encode() for block in blocks)
    return re.sub(rb"tree_sizes=[0-9 ]+", b"tree_sizes=" + sizes, text, count=1)


def test_a_text_that_was_trained_passes() -> None:
    check_text(TEXT)
    assert (header_of(TEXT).features, header_of(TEXT).classes, len(header_of(TEXT).sizes)) == (4, 1, 20)


@pytest.mark.parametrize(
    ("pattern", "replacement"),
    [
        (rb"split_feature=\d+", b"split_feature=4"),
        (rb"split_feature=\d+", b"split_feature=-1"),
        (rb"split_feature=\d+ ", b"split_feature="),
        (rb"left_child=-?\d+", b"left_child=999999"),
        (rb"left_child=-?\d+", b"left_child=-999999"),
        (rb"left_child=-?\d+", b"left_child=0"),
        (rb"right_child=-?\d+ ", b"right_child="),
        (rb"threshold=\S+ ", b"threshold="),
        (rb"threshold=\S+", b"threshold=abc"),
        (rb"leaf_value=\S+ ", b"leaf_value="),
        (rb"decision_type=\d+", b"decision_type=1024"),
        (rb"num_leaves=\d+", b"num_leaves=2"),
        (rb"num_leaves=\d+", b"num_leaves=99999999999"),
        (rb"num_leaves=\d+", b"num_leaves=-1"),
        (rb"num_leaves=(\d+)\n", rb"num_leaves=\1\nnum_leaves=3\n"),
        (rb"num_cat=\d+", b"num_cat=7"),
        (rb"Tree=1\n", b"Tree=7\n"),
    ],
)
def test_a_tree_that_leads_outside_of_itself_is_refused(pattern: bytes, replacement: bytes) -> None:
    with pytest.raises(BadArtifact):
        check_text(grown(pattern, replacement))


@pytest.mark.parametrize("field", [rb"cat_boundaries=\d+ \d+", rb"cat_threshold=\d+"])
def test_sets_of_categories_fit_together(field: bytes) -> None:
    found = re.search(field, TEXT)
    assert found
    for wrong in (b"5 1", b"0 9", b"-1 2", b"4294967296", b""):
        with pytest.raises(BadArtifact):
            check_text(grown(field, found[0].partition(b"=")[0] + b"=" + wrong))


@pytest.mark.parametrize(
    ("pattern", "replacement"),
    [
        (rb"^tree\n", b"forest\n"),
        (rb"version=v4", b"version=v9"),
        (rb"max_feature_idx=3", b"max_feature_idx=2147483647"),
        (rb"num_class=1", b"num_class=3"),
        (rb"feature_names=\S+ ", b"feature_names="),
        (rb"tree_sizes=\d+", b"tree_sizes=99999999"),
        (rb"tree_sizes=\d+", b"tree_sizes=-5"),
        (rb"objective=binary[^\n]*", b"objective=binary sigmoid:1;rm"),
        (rb"end of trees", b"and so on"),
        (rb"num_tree_per_iteration=1", b"num_tree_per_iteration=0"),
        (rb"label_index=0", b"label_index=0\x00"),
    ],
)
def test_a_head_that_does_not_fit_its_trees_is_refused(pattern: bytes, replacement: bytes) -> None:
    with pytest.raises((BadArtifact, FormatRefused)):
        check_text(re.sub(pattern, replacement, TEXT, count=1))


@pytest.mark.parametrize(
    "text", [b"", b"tree", b"tree\n", b"\xff\xfe", b"tree\nversion=v4\n", TEXT[: len(TEXT) // 2], TEXT[100:], b"PK\x03\x04"]
)
def test_what_is_no_text_or_half_of_one_is_refused(text: bytes) -> None:
    with pytest.raises(BadArtifact):
        check_text(text)


def test_linear_trees_are_refused_with_what_to_do() -> None:
    x, y = training(missing=0.0)
    model = LGBMClassifier(n_estimators=2, linear_tree=True, verbose=-1, n_jobs=1).fit(x, y)
    with pytest.raises(FormatRefused, match="linear trees"):
        check_text(model.booster_.model_to_string().encode())


@pytest.mark.parametrize(
    "options", [{"boosting_type": "dart"}, {"boosting_type": "rf", "subsample_freq": 1, "subsample": 0.5}, {"min_child_samples": 5000}]
)
def test_every_kind_of_boosting_passes(options: dict[str, Any]) -> None:
    x, y = training()
    model = LGBMClassifier(n_estimators=3, verbose=-1, n_jobs=1, **options).fit(x, y)
    check_text(model.booster_.model_to_string().encode())


def mutated(number: int) -> bytes:
    """The text with a few numbers or bytes changed by chance, mostly inside its trees."""
    rng = random.Random(number)
    text = bytearray(TEXT)
    for _ in range(rng.randint(1, 4)):
        place = rng.randrange(len(text))
        match rng.randrange(4):
            case 0:
                text[place] = rng.choice(b"0123456789-. \n=e")
            case 1:
                del text[place : place + rng.randint(1, 9)]
            case 2:
                text[place:place] = rng.choice((b"-", b"9999999999", b" 0", b"\n", b"nan", b"inf", b"1e400"))
            case _:
                text[place : place + 20] = text[place : place + 10]
    return bytes(text)


ASK = """
import sys, pathlib, numpy as np
from modelyard.core.errors import ModelyardError
from modelyard.registry.formats import load
taken = 0
rows = np.array([[0, 9, 3.5, 800], [np.nan] * 4, [1e300, -1e300, np.inf, -np.inf], [99, 0, 0, 0]])
for folder in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    try:
        predictor = load(folder)
        predictor.predict(rows)
        predictor.predict(rows[:1])
        taken += 1
    except ModelyardError:
        pass
print(taken)
"""


def test_no_text_brings_the_process_down(tmp_path: Path) -> None:
    from_header = b'{"format":"lightgbm","signature":' + msgspec.json.encode(FLIGHTS) + b"}"
    for number in range(400):
        folder = tmp_path / f"{number:03}"
        folder.mkdir()
        (folder / "model.txt").write_bytes(mutated(number))
        (folder / "modelyard.json").write_bytes(from_header)
    ran = subprocess.run([sys.executable, "-c", ASK, str(tmp_path)], capture_output=True, text=True, timeout=300, check=False)
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert 0 < int(ran.stdout.split()[-1]) < 400


def test_every_refusal_is_one_of_ours() -> None:
    for number in range(1000, 1400):
        try:
            check_text(mutated(number))
        except ModelyardError:
            continue
