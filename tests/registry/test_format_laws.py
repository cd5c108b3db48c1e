"""Laws that every format keeps: the same bits every time, one content for one training, and nothing loaded that is not a model."""

import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from lightgbm import LGBMClassifier, LGBMRegressor

from modelyard.registry.domain import (
    BadArtifact,
    Column,
    Format,
    FormatRefused,
    Output,
    ParityBroken,
    Signature,
    SignatureMismatch,
    UntrustedType,
)
from modelyard.registry.encoding import Matrix, Vector, matrix
from modelyard.registry.formats import HEADER, Predictor, content_digest, load, parity, read_header, require_parity, save
from tests.registry.conftest import FLIGHTS, flights, lightgbm_model, training

ensemble: Any = pytest.importorskip("sklearn.ensemble")
impute: Any = pytest.importorskip("sklearn.impute")
linear: Any = pytest.importorskip("sklearn.linear_model")
pipeline: Any = pytest.importorskip("sklearn.pipeline")
preprocessing: Any = pytest.importorskip("sklearn.preprocessing")
skl2onnx: Any = pytest.importorskip("skl2onnx")

Saved = Callable[..., Path]
NUMBER = Signature(inputs=FLIGHTS.inputs, output=Output(name="minutes"))
# Between a row alone and the same row in a batch, in units of the last place: of float32 for ONNX, of float64 for skops.
MOST_ULP = 8
ROWS = matrix(flights(500, seed=9, missing=0.2)[0], FLIGHTS)
WHOLE_ROWS = matrix(flights(500, seed=9)[0], FLIGHTS)


@pytest.fixture
def saved(tmp_path: Path) -> Saved:
    """Saves a model into a folder of its own."""
    count = 0

    def done(model: Any, signature: Signature = FLIGHTS, expected: Format | None = None) -> Path:
        nonlocal count
        count += 1
        folder = tmp_path / f"model{count}"
        kind = save(model, folder, signature)
        assert expected in (None, kind)
        return folder

    return done


def linear_model(classes: int = 2) -> Any:
    """A scaled logistic regression of scikit-learn."""
    x, late = training()
    y = late if classes == 2 else np.arange(len(x)) % classes
    return pipeline.make_pipeline(preprocessing.StandardScaler(), linear.LogisticRegression()).fit(x, y)


def lightgbm_regressor() -> LGBMRegressor:
    """A LightGBM regressor."""
    x, y = training()
    return LGBMRegressor(n_estimators=10, n_jobs=1, verbose=-1, force_row_wise=True).fit(x, y)


def onnx_of(model: Any, dtype: Any = np.float32) -> bytes:
    """A scikit-learn model converted to ONNX."""
    options = {id(model): {"zipmap": False}} if hasattr(model, "predict_proba") else {}
    converted = skl2onnx.to_onnx(model, training(4)[0].astype(dtype), options=options)
    return bytes(converted.SerializeToString())


class Trained:
    """A trained model as a predictor, by its own library."""

    def __init__(self, answer: Callable[[Matrix], Any]) -> None:
        self._answer = answer

    def predict(self, matrix: Matrix) -> Vector:
        """One number for each row."""
        return np.ascontiguousarray(self._answer(matrix), dtype=np.float64)


def imputing_model(**words: Any) -> Any:
    """A logistic regression that fills in what is missing."""
    steps = (impute.SimpleImputer(**words), preprocessing.StandardScaler(), linear.LogisticRegression())
    return pipeline.make_pipeline(*steps).fit(*training(missing=0.1))


CASES: dict[str, tuple[Callable[[], Any], Format, Signature, Matrix]] = {
    "lightgbm": (lightgbm_model, Format.LIGHTGBM, FLIGHTS, ROWS),
    "lightgbm regressor": (lightgbm_regressor, Format.LIGHTGBM, NUMBER, ROWS),
    "skops": (linear_model, Format.SKOPS, FLIGHTS, WHOLE_ROWS),
    "skops imputer": (imputing_model, Format.SKOPS, FLIGHTS, ROWS),
    "skops regressor": (lambda: linear.LinearRegression().fit(*training()), Format.SKOPS, NUMBER, WHOLE_ROWS),
    "onnx": (lambda: onnx_of(linear_model()), Format.ONNX, FLIGHTS, WHOLE_ROWS),
    "onnx regressor": (lambda: onnx_of(linear.LinearRegression().fit(*training()), np.float64), Format.ONNX, NUMBER, WHOLE_ROWS),
}


@pytest.fixture(params=list(CASES))
def case(request: pytest.FixtureRequest, saved: Saved) -> Iterator[tuple[Path, Matrix]]:
    """The folder of a saved model, and rows that it takes."""
    make, kind, signature, rows = CASES[request.param]
    yield saved(make(), signature, kind), rows


def test_lightgbm_answers_bit_for_bit_as_the_library_that_trained_it(saved: Saved) -> None:
    model = lightgbm_model()
    loaded = load(saved(model))
    own = Trained(lambda rows: np.asarray(model.predict_proba(rows, num_threads=1))[:, 1])
    assert parity(own, loaded, ROWS).is_identical


def test_skops_answers_bit_for_bit_as_the_model_that_was_saved(saved: Saved) -> None:
    model = linear_model()
    assert parity(Trained(lambda rows: model.predict_proba(rows)[:, 1]), load(saved(model)), WHOLE_ROWS).is_identical


@pytest.mark.parametrize("words", [{}, {"strategy": "median"}, {"strategy": "constant", "fill_value": 0.0}, {"add_indicator": True}])
def test_a_model_that_fills_in_what_is_missing_is_served_bit_for_bit(saved: Saved, words: dict[str, Any]) -> None:
    model = imputing_model(**words)
    loaded = load(saved(model))
    assert np.isnan(ROWS).any()
    assert parity(Trained(lambda rows: model.predict_proba(rows)[:, 1]), loaded, ROWS).is_identical


def test_a_converted_model_is_proven_close_before_it_is_served(saved: Saved) -> None:
    model = linear_model()
    found = parity(Trained(lambda rows: model.predict_proba(rows)[:, 1]), load(saved(onnx_of(model))), WHOLE_ROWS)
    assert (found.rows, found.is_identical) == (500, False)
    assert 0 < found.largest_difference < 1e-5
    assert 0 < found.largest_ulp32 < 200
    require_parity(found, most_difference=1e-5)
    with pytest.raises(ParityBroken, match="500 rows"):
        require_parity(found, most_difference=1e-9)
    with pytest.raises(ParityBroken):
        require_parity(parity(load(saved(model)), load(saved(model)), WHOLE_ROWS[:0]), most_difference=1.0)


def test_the_same_artifact_and_batch_give_the_same_bits_from_every_thread_and_load(case: tuple[Path, Matrix]) -> None:
    folder, rows = case
    first = load(folder).predict(rows)
    again = load(folder)
    assert first.dtype == np.float64
    assert first.shape == (len(rows),)
    assert again.predict(rows).tobytes() == first.tobytes()
    with ThreadPoolExecutor(4) as pool:
        assert {answer.tobytes() for answer in pool.map(again.predict, [rows] * 8)} == {first.tobytes()}
        assert len({answer.tobytes() for answer in pool.map(again.predict, [rows[:1]] * 50)}) == 1


def test_no_rows_give_no_answers_and_other_widths_are_refused(case: tuple[Path, Matrix]) -> None:
    loaded = load(case[0])
    assert loaded.predict(np.empty((0, 4))).shape == (0,)
    for wrong in (np.zeros((1, 3)), np.zeros((2, 5))):
        with pytest.raises(SignatureMismatch):
            loaded.predict(wrong)


def test_lightgbm_gives_a_row_the_same_bits_alone_and_in_any_batch(saved: Saved) -> None:
    loaded = load(saved(lightgbm_model()))
    whole = loaded.predict(ROWS)
    for size in (1, 2, 7, 50, 499):
        parts = [loaded.predict(ROWS[at : at + size]) for at in range(0, len(ROWS), size)]
        assert np.concatenate(parts).tobytes() == whole.tobytes()
    assert loaded.predict(np.asfortranarray(ROWS)).tobytes() == whole.tobytes()


@pytest.mark.parametrize("trees", [20, 100])
@pytest.mark.parametrize(
    ("kind", "signature"),
    [
        ("RandomForestClassifier", FLIGHTS),
        ("GradientBoostingClassifier", FLIGHTS),
        ("RandomForestRegressor", NUMBER),
        ("GradientBoostingRegressor", NUMBER),
    ],
)
def test_onnx_trees_give_a_row_the_same_bits_alone_and_in_any_batch(saved: Saved, kind: str, signature: Signature, trees: int) -> None:
    model = getattr(ensemble, kind)(n_estimators=trees, random_state=3).fit(*training())
    loaded = load(saved(onnx_of(model), signature, Format.ONNX))
    whole = loaded.predict(WHOLE_ROWS)
    assert np.unique(whole).size > 10
    for size in (1, 2, 50, 499):
        parts = [loaded.predict(WHOLE_ROWS[at : at + size]) for at in range(0, len(WHOLE_ROWS), size)]
        assert np.concatenate(parts).tobytes() == whole.tobytes()


def largest_ulp(predictor: Predictor, rows: Matrix, kind: Any) -> int:
    """How far rows alone are from one batch, in units of the last place of `kind`; all values have one sign."""
    single = np.concatenate([predictor.predict(rows[at : at + 1]) for at in range(len(rows))]).astype(kind)
    whole = predictor.predict(rows).astype(kind)
    bits = np.int32 if kind == np.float32 else np.int64
    return int(np.abs(single.view(bits).astype(np.int64) - whole.view(bits).astype(np.int64)).max())


def test_other_formats_stay_within_a_stated_bound_across_batch_sizes(saved: Saved) -> None:
    assert largest_ulp(load(saved(linear_model())), WHOLE_ROWS, np.float64) <= MOST_ULP
    assert largest_ulp(load(saved(onnx_of(linear_model()))), WHOLE_ROWS, np.float32) <= MOST_ULP


def test_a_forest_is_served_as_onnx_since_its_trees_are_memory_that_skops_does_not_check(saved: Saved) -> None:
    forest = ensemble.RandomForestClassifier(n_estimators=10, n_jobs=4, random_state=3).fit(*training())
    with pytest.raises(UntrustedType, match="Tree") as caught:
        saved(forest)
    assert "ONNX" in caught.value.hint
    converted = load(saved(onnx_of(forest)))
    assert parity(Trained(lambda rows: forest.predict_proba(rows)[:, 1]), converted, WHOLE_ROWS).largest_difference < 1e-5


@pytest.mark.parametrize("name", ["lightgbm", "skops", "onnx", "forest"])
def test_training_twice_gives_one_content_digest_and_other_data_another(saved: Saved, name: str) -> None:
    makers: dict[str, Callable[[], Any]] = {
        "lightgbm": lightgbm_model,
        "skops": linear_model,
        "onnx": lambda: onnx_of(linear_model()),
        "forest": lambda: onnx_of(ensemble.RandomForestClassifier(n_estimators=5, random_state=3).fit(*training())),
    }
    first, second = saved(makers[name]()), saved(makers[name]())
    assert content_digest(first) == content_digest(second)
    assert content_digest(saved(lightgbm_model(missing=0.3))) != content_digest(first)


def test_the_content_digest_holds_across_processes(saved: Saved, tmp_path: Path) -> None:
    code = (
        "import sys; sys.path.insert(0, '.')\n"
        "from tests.registry.test_format_laws import *\n"
        "from modelyard.registry.formats import content_digest\n"
        "for name, model in (('l', lightgbm_model()), ('s', linear_model()), ('o', onnx_of(linear_model()))):\n"
        "    folder = Path(sys.argv[1]) / name; save(model, folder, FLIGHTS); print(content_digest(folder))\n"
    )
    ran = [
        subprocess.run([sys.executable, "-c", code, str(tmp_path / one)], capture_output=True, text=True, check=True).stdout for one in "ab"
    ]
    assert ran[0] == ran[1]
    assert len(set(ran[0].split())) == 3


def test_the_number_of_threads_is_no_part_of_what_a_model_computes(saved: Saved) -> None:
    one, two = saved(lightgbm_model(threads=1)), saved(lightgbm_model(threads=2))
    assert (one / "model.txt").read_bytes() != (two / "model.txt").read_bytes()
    assert content_digest(one) == content_digest(two)


def test_another_signature_is_another_content(saved: Saved) -> None:
    model = lightgbm_model()
    renamed = Signature(
        inputs=(Column(name="from", dtype="string", categories=("EWR", "JFK", "LGA")), *FLIGHTS.inputs[1:]), output=FLIGHTS.output
    )
    assert content_digest(saved(model)) != content_digest(saved(model, renamed))


def test_a_folder_says_its_format_and_signature(saved: Saved) -> None:
    header = read_header(saved(lightgbm_model()))
    assert (header.format, header.signature) == (Format.LIGHTGBM, FLIGHTS)


class Hostile:
    """Runs a command when it is unpickled."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return (print, ("the pickle was run",))


@pytest.mark.parametrize("name", ["model.pkl", "model.joblib", "python_model.pkl", "weights.pt"])
def test_a_pickle_is_never_read_whatever_it_is_called(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / name).write_bytes(pickle.dumps(Hostile()))
    with pytest.raises(FormatRefused, match="is a pickle"):
        load(tmp_path)
    for kind, file in (("lightgbm", "model.txt"), ("onnx", "model.onnx"), ("skops", "model.skops")):
        (tmp_path / file).write_bytes(pickle.dumps(Hostile()))
        (tmp_path / HEADER).write_bytes(b'{"format":"%s","signature":{"inputs":[{"name":"a","dtype":"float64"}]}}' % kind.encode())
        with pytest.raises(BadArtifact):
            load(tmp_path)
        with pytest.raises((BadArtifact, FormatRefused)):
            load(tmp_path)
    assert capsys.readouterr().out == ""


def test_an_estimator_with_a_function_of_its_own_is_not_trusted(saved: Saved, tmp_path: Path) -> None:
    model = pipeline.make_pipeline(preprocessing.FunctionTransformer(own_function), linear_model())
    with pytest.raises(UntrustedType, match="own_function"):
        saved(model)
    (tmp_path / "model.skops").write_bytes(skops.io.dumps(model))
    saved_header = read_header(saved(linear_model()))
    (tmp_path / HEADER).write_text(
        f'{{"format":"skops","signature":{{"inputs":[{{"name":"{saved_header.signature.names[1]}","dtype":"float64"}}]}}}}'
    )
    with pytest.raises(UntrustedType, match="nothing of it was run"):
        load(tmp_path)


def own_function(x: Any) -> Any:
    """A function that no one trusts."""
    return x


@pytest.mark.parametrize("header", [b"", b"[]", b'{"format":"pickle","signature":{}}', b'{"format":"mlflow"}', b"\xff", b"[" * 100_000])
def test_a_folder_with_a_broken_header_is_no_model(tmp_path: Path, header: bytes) -> None:
    (tmp_path / HEADER).write_bytes(header)
    with pytest.raises((BadArtifact, FormatRefused)):
        load(tmp_path)


def test_folders_of_other_kinds_are_refused_with_the_way_from_there(tmp_path: Path) -> None:
    with pytest.raises(FormatRefused, match="no files"):
        load(tmp_path)
    (tmp_path / "MLmodel").write_text("flavors: {}")
    with pytest.raises(FormatRefused, match="MLflow"):
        load(tmp_path)
    with pytest.raises(BadArtifact):
        load(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("model", "signature", "error"),
    [
        (lambda: object(), FLIGHTS, FormatRefused),
        (lambda: {"weights": [1.0]}, FLIGHTS, FormatRefused),
        (lambda: b"no onnx", FLIGHTS, BadArtifact),
        (lambda: linear.LinearRegression().fit(*training()), FLIGHTS, FormatRefused),
        (lambda: linear.LinearRegression().fit(training()[0][:, :2], training()[1]), NUMBER, SignatureMismatch),
        (lambda: lightgbm_model(), Signature(inputs=FLIGHTS.inputs[:2], output=Output(kind="probability")), SignatureMismatch),
        (lambda: LGBMClassifier(n_estimators=2, verbose=-1, n_jobs=1).fit(training()[0], np.arange(800) % 3), FLIGHTS, FormatRefused),
        (lambda: linear_model(classes=3), FLIGHTS, FormatRefused),
    ],
)
def test_what_cannot_be_served_is_refused_where_it_was_trained(
    tmp_path: Path, model: Callable[[], Any], signature: Signature, error: type[Exception]
) -> None:
    with pytest.raises(error):
        save(model(), tmp_path / "model", signature)
    assert not (tmp_path / "model").exists()


def test_loading_lightgbm_needs_none_of_the_heavy_libraries(saved: Saved) -> None:
    folder = saved(lightgbm_model())
    code = (
        "import sys; from pathlib import Path; import numpy as np; from modelyard.registry.formats import load\n"
        f"print(load(Path({str(folder)!r})).predict(np.zeros((1, 4))))\n"
        "print([name for name in ('lightgbm', 'sklearn', 'scipy', 'pandas', 'onnxruntime', 'skops', 'sqlalchemy') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[1] == "[]"
