"""Formats: a model comes back as it was saved, the same training is the same content, and nothing is unpickled."""

import importlib
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lightgbm import LGBMClassifier

from modelyard.registry.domain import BadArtifact, Column, Format, FormatRefused, Output, Signature, UntrustedType
from modelyard.registry.formats import HEADER, content_digest, load, save

SIGNATURE = Signature(
    inputs=tuple(Column(name=f"x{place}", dtype="float64") for place in range(4)), output=Output(kind="probability", label="late")
)
LogisticRegression = importlib.import_module("sklearn.linear_model").LogisticRegression
RANDOM = np.random.default_rng(3)
ROWS = RANDOM.normal(size=(500, 4))
LABELS = (ROWS[:, 0] + RANDOM.normal(size=500) > 0).astype(int)


def trees() -> LGBMClassifier:
    return LGBMClassifier(n_estimators=20, verbose=-1, deterministic=True, force_row_wise=True, n_jobs=1, random_state=1).fit(ROWS, LABELS)


def line() -> Any:
    return LogisticRegression().fit(ROWS, LABELS)


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize(("make", "kind"), [(trees, Format.LIGHTGBM), (line, Format.SKOPS)])
def test_a_model_answers_as_the_library_that_trained_it(make: Any, kind: Format, tmp_path: Path) -> None:
    model = make()
    assert save(model, tmp_path / "model", SIGNATURE) is kind
    found = load(tmp_path / "model").predict(ROWS)
    booster = model.booster_.predict(ROWS, num_threads=1) if kind is Format.LIGHTGBM else model.predict_proba(ROWS)[:, 1]
    np.testing.assert_array_equal(found, booster)
    np.testing.assert_array_equal(load(tmp_path / "model").predict(ROWS), found)


def test_trees_answer_alone_as_they_do_in_a_batch(tmp_path: Path) -> None:
    save(trees(), tmp_path / "model", SIGNATURE)
    predictor = load(tmp_path / "model")
    singly = np.concatenate([predictor.predict(np.ascontiguousarray(ROWS[place : place + 1])) for place in range(100)])
    np.testing.assert_array_equal(singly, predictor.predict(ROWS[:100]))


@pytest.mark.parametrize("make", [trees, line])
def test_the_same_training_has_the_same_content_and_another_has_another(make: Any, tmp_path: Path) -> None:
    for name in ("one", "two"):
        save(make(), tmp_path / name, SIGNATURE)
    assert content_digest(tmp_path / "one") == content_digest(tmp_path / "two")
    save(LogisticRegression(C=0.01).fit(ROWS, LABELS), tmp_path / "other", SIGNATURE)
    assert content_digest(tmp_path / "other") != content_digest(tmp_path / "one")


@pytest.mark.parametrize("name", ["model.skops", "model.txt", "model.onnx"])
def test_a_pickle_under_another_name_is_refused_and_does_nothing(name: str, tmp_path: Path) -> None:
    save(line() if name == "model.skops" else trees(), tmp_path / "model", SIGNATURE)
    (tmp_path / "model" / name).write_bytes(pickle.dumps(Bomb(tmp_path / "exploded")))
    if name == "model.onnx":
        header = (tmp_path / "model" / HEADER).read_bytes().replace(b"lightgbm", b"onnx")
        (tmp_path / "model" / HEADER).write_bytes(header)
    with pytest.raises((BadArtifact, FormatRefused, UntrustedType)):
        load(tmp_path / "model")
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("cut", [0, 10, 200, -4000])
def test_a_cut_file_is_refused(cut: int, tmp_path: Path) -> None:
    save(trees(), tmp_path / "model", SIGNATURE)
    path = tmp_path / "model" / "model.txt"
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(BadArtifact):
        load(tmp_path / "model")


def test_a_folder_of_pickles_and_an_unknown_type_are_refused_with_a_way_on(tmp_path: Path) -> None:
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(1))
    with pytest.raises(FormatRefused, match="pickle"):
        load(tmp_path)
    with pytest.raises(FormatRefused):
        save(object(), tmp_path / "out", SIGNATURE)
