"""Hostile skops files: whatever stands in one, loading it ends in a predictor or in an error of ours, and runs nothing."""

import contextlib
import io
import json
import random
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import skops.io

from modelyard.core.errors import ModelyardError
from modelyard.registry.domain import BadArtifact, UntrustedType
from modelyard.registry.formats.skops import loaded
from tests.registry.conftest import FLIGHTS, training

linear: Any = pytest.importorskip("sklearn.linear_model")
pipeline: Any = pytest.importorskip("sklearn.pipeline")
preprocessing: Any = pytest.importorskip("sklearn.preprocessing")

impute: Any = pytest.importorskip("sklearn.impute")
WORDS: list[Any] = [
    None,
    -1,
    0,
    10**9,
    "",
    "numpy",
    "ndarray",
    "__reduce__",
    [],
    {},
    True,
    "sklearn.utils",
    "os",
    "system",
    "builtins",
    "eval",
]
ROWS = np.zeros((2, 4))


@pytest.fixture(scope="module")
def file() -> bytes:
    """The file of a scaled logistic regression."""
    model = pipeline.make_pipeline(preprocessing.StandardScaler(), linear.LogisticRegression()).fit(*training())
    return bytes(skops.io.dumps(model))


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in a JSON document: what holds it, and its key there."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield value, key
        yield from places(inner)


def packed(files: dict[str, bytes]) -> bytes:
    """A zip file of these members."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def unpacked(file: bytes) -> dict[str, bytes]:
    """The members of a zip file."""
    archive = zipfile.ZipFile(io.BytesIO(file))
    return {name: archive.read(name) for name in archive.namelist()}


def mutated(file: bytes, number: int) -> bytes:
    """The file with some of its schema, and perhaps a byte of an array, changed by chance."""
    rng, files = random.Random(number), unpacked(file)
    schema = json.loads(files["schema.json"])
    for _ in range(rng.randint(1, 3)):
        holder, key = rng.choice(list(places(schema)))
        holder[key] = rng.choice(WORDS)
    arrays = [name for name in files if name.endswith(".npy")]
    if rng.random() < 0.3:
        name = rng.choice(arrays)
        changed = bytearray(files[name])
        changed[rng.randrange(len(changed))] = rng.randrange(256)
        files[name] = bytes(changed)
    return packed({**files, "schema.json": json.dumps(schema).encode()})


@pytest.mark.filterwarnings("ignore")
def test_a_file_that_was_tampered_with_ends_in_an_error_of_ours(file: bytes) -> None:
    refused = 0
    for number in range(400):
        try:
            loaded(mutated(file, number), FLIGHTS).predict(ROWS)
        except ModelyardError:
            refused += 1
    assert 100 < refused < 400


@pytest.mark.parametrize("kind", [("os", "system"), ("builtins", "eval"), ("subprocess", "run"), ("importlib", "import_module")])
def test_a_function_that_runs_something_is_never_called(file: bytes, kind: tuple[str, str]) -> None:
    files = unpacked(file)
    files["schema.json"] = json.dumps({
        "__class__": kind[1], "__module__": kind[0], "__loader__": "FunctionNode", "__id__": 1, "protocol": 2, "_skops_version": "0.16.0",
        "content": f"{kind[0]}.{kind[1]}",
    }).encode()  # fmt: skip
    with pytest.raises((UntrustedType, BadArtifact)):
        loaded(packed(files), FLIGHTS)


@pytest.mark.parametrize("content", [b"", b"PK", b"PK\x03\x04", b"\x80\x04\x95."])
def test_what_is_no_zip_file_is_refused(content: bytes) -> None:
    with pytest.raises(BadArtifact):
        loaded(content, FLIGHTS)


def test_a_damaged_or_swollen_file_is_refused(file: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in range(40, len(file), len(file) // 60):
        damaged = bytearray(file)
        damaged[place] ^= 0xFF
        try:
            loaded(bytes(damaged), FLIGHTS)
        except ModelyardError:
            continue
    monkeypatch.setattr("modelyard.registry.formats.skops.MOST_UNPACKED", 1000)
    with pytest.raises(BadArtifact, match="unpacks to more"):
        loaded(file, FLIGHTS)


@pytest.fixture(scope="module")
def imputer() -> bytes:
    """The file of a model that remembers the dtype of its matrix."""
    return bytes(skops.io.dumps(pipeline.make_pipeline(impute.SimpleImputer(), linear.LogisticRegression()).fit(*training(missing=0.1))))


def dtype_nodes(schema: Any) -> list[dict[str, Any]]:
    """The nodes of a schema that hold a dtype."""
    found = [holder[key] for holder, key in places(schema) if isinstance(holder[key], dict)]
    return [one for one in found if one.get("__class__") == "dtype"]


@pytest.mark.parametrize(
    "change",
    [
        {"__loader__": "ObjectNode"},
        {"__loader__": "ConstructorFromReduceNode"},
        {"__loader__": "NdArrayNode", "type": "numpy", "file": "schema.json"},
        {"__loader__": "TypeNode"},
        {"__module__": "os", "__class__": "system"},
        {"content": {"__class__": "dtype", "__module__": "numpy", "__loader__": "FunctionNode"}},
        {"content": {"__class__": "dtype", "__module__": "numpy", "__loader__": "TypeNode"}},
        {"content": {"__class__": "list", "__module__": "builtins", "__loader__": "ListNode", "content": []}},
    ],
)
def test_a_dtype_is_trusted_only_as_that_of_an_array(imputer: bytes, change: dict[str, Any]) -> None:
    files = unpacked(imputer)
    schema = json.loads(files["schema.json"])
    loaded(packed(files), FLIGHTS)
    nodes = dtype_nodes(schema)
    assert nodes
    for node in nodes:
        node.update(change)
    with pytest.raises(UntrustedType, match="nothing of it was run"):
        loaded(packed(files | {"schema.json": json.dumps(schema).encode()}), FLIGHTS)


@pytest.mark.parametrize("number", range(60))
def test_an_imputer_changed_by_chance_ends_in_a_predictor_or_an_error_of_ours(imputer: bytes, number: int) -> None:
    with contextlib.suppress(ModelyardError):
        loaded(mutated(imputer, number), FLIGHTS).predict(ROWS)
