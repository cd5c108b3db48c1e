"""scikit-learn's estimators by skops: loaded only where skops trusts every type in the file, or it is the dtype of an array there.

Owns the threads: one, because sums over several depend on their order. Never reads a pickle.
"""

import hashlib
import io
import json
import struct
import tokenize
import zipfile
import zlib
from typing import Any

import numpy as np
import threadpoolctl
from skops import io as sio

from modelyard.registry.domain import BadArtifact, FormatRefused, Signature, SignatureMismatch, UntrustedType
from modelyard.registry.encoding import Matrix, Vector

MOST_UNPACKED = 4 << 30
MOST_MEMBERS = 200_000
SCHEMA = "schema.json"
DTYPE = "numpy.dtype"
"""What scikit-learn's imputers remember of their matrix; skops does not trust it by itself."""
# What a file raises that was made by hand, or by a version of scikit-learn that does not fit this one.
ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, LookupError, MemoryError, OSError, RuntimeError, ValueError)
ERRORS = (*ZIP_ERRORS, tokenize.TokenError, ArithmeticError, AssertionError, AttributeError, ImportError, SyntaxError, TypeError)


def dumped(model: Any, signature: Signature) -> bytes:
    """The file of an estimator."""
    return bytes(sio.dumps(model))


def loaded(content: bytes, signature: Signature) -> "SkopsPredictor":
    """The predictor of a file whose every type is trusted."""
    schema = _schema(content)
    try:
        untrusted = sorted(set(sio.get_untrusted_types(data=content)))
        trusted = [DTYPE] if DTYPE in untrusted and _has_only_dtypes_of_arrays(schema) else []
    except ERRORS as error:
        raise BadArtifact(f"skops: {str(error)[:300]}", hint="save the model again") from error
    untrusted = [name for name in untrusted if name not in trusted]
    if untrusted:
        raise UntrustedType(
            f"the file holds {', '.join(untrusted[:5])}{' and more' if len(untrusted) > 5 else ''}; nothing of it was run",
            hint="use types of scikit-learn, NumPy and SciPy only, or convert the model to ONNX",
        )
    threadpoolctl.threadpool_limits(limits=1)
    try:
        return SkopsPredictor(sio.loads(content, trusted=trusted), signature)
    except ERRORS as error:
        raise BadArtifact(f"skops: {str(error)[:300]}", hint="train with the version of scikit-learn that serves") from error


def _has_only_dtypes_of_arrays(schema: Any) -> bool:
    """Whether each `dtype` that a file speaks of is that of an array in it: read off, never called or built by the file's words."""
    left = [schema]
    while left:
        one = left.pop()
        if isinstance(one, dict):
            left += [value for key, value in one.items() if key != "__class__" or not _is_dtype_of_array(one)]
        elif isinstance(one, list):
            left += one
        elif isinstance(one, str) and one.rpartition(".")[2] == "dtype":
            return False
    return True


def _is_dtype_of_array(node: dict[str, Any]) -> bool:
    array = node.get("content")
    if not isinstance(array, dict) or (node.get("__loader__"), node.get("__module__")) != ("DTypeNode", "numpy"):
        return False
    words = [array.get(name) for name in ("__loader__", "__module__", "__class__", "type")]
    return node.get("__class__") == "dtype" and words == ["NdArrayNode", "numpy", "ndarray", "numpy"]


def content(content: bytes) -> Any:
    """The schema with ids counted in order of appearance and files named by their content: skops numbers both by chance."""
    schema = _schema(content)
    archive = zipfile.ZipFile(io.BytesIO(content))
    try:
        files = {name: hashlib.sha256(archive.read(name)).hexdigest() for name in archive.namelist() if name != SCHEMA}
        return _counted({key: value for key, value in schema.items() if key != "_skops_version"}, files, {})
    except ZIP_ERRORS as error:
        raise BadArtifact(f"this is no skops file: {error}", hint="save the model again") from error


def _counted(value: Any, files: dict[str, str], ids: dict[int, int]) -> Any:
    if isinstance(value, list):
        return [_counted(one, files, ids) for one in value]
    if not isinstance(value, dict):
        return repr(value) if isinstance(value, float | int) and not isinstance(value, bool) else value
    result: dict[str, Any] = {}
    for key, one in value.items():
        if key == "__id__":
            result[key] = str(ids.setdefault(one, len(ids)))
        elif key == "file" and isinstance(one, str):
            result[key] = files.get(one, one)
        else:
            result[key] = _counted(one, files, ids)
    return result


def _schema(content: bytes) -> dict[str, Any]:
    """The schema of a file that unpacks to a bearable size. Raises BadArtifact."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
        members = archive.infolist()
        if len(members) > MOST_MEMBERS or sum(member.file_size for member in members) > MOST_UNPACKED:
            raise BadArtifact("the skops file unpacks to more than is loaded", hint="make the model smaller")
        if (broken := archive.testzip()) is not None:
            raise BadArtifact(f"this is no skops file: {broken[:80]} is damaged", hint="save the model again")
        schema = json.loads(archive.read(SCHEMA))
    except ZIP_ERRORS as error:
        raise BadArtifact(f"this is no skops file: {error}", hint="save the model again") from error
    if not isinstance(schema, dict):
        raise BadArtifact("this is no skops file: its schema is no object", hint="save the model again")
    return schema


class SkopsPredictor:
    """An estimator on one thread. A classifier answers with the probability of its second class."""

    def __init__(self, estimator: Any, signature: Signature) -> None:
        if not hasattr(estimator, "get_params"):
            raise BadArtifact(f"the file holds a {type(estimator).__name__}, no estimator", hint="save the model again")
        width = getattr(estimator, "n_features_in_", len(signature.inputs))
        names = list(getattr(estimator, "feature_names_in_", signature.names))
        if width != len(signature.inputs) or names != list(signature.names):
            raise SignatureMismatch(
                f"the model takes {', '.join(map(str, names))[:200]}", hint="train on exactly the columns of the signature, in order"
            )
        self._width = width
        self._is_probability = signature.output.kind == "probability"
        if self._is_probability and len(getattr(estimator, "classes_", ())) != 2:
            raise FormatRefused("the model has no two classes", hint="give it two, or an output of the kind number")
        _single_threaded(estimator)
        self._predict = getattr(estimator, "predict_proba" if self._is_probability else "predict", None)
        if self._predict is None:
            raise FormatRefused(
                f"a {type(estimator).__name__} does not answer probabilities", hint="train an estimator that has predict_proba"
            )

    def predict(self, matrix: Matrix) -> Vector:
        """One number for each row."""
        if matrix.ndim != 2 or matrix.shape[1] != self._width:
            raise SignatureMismatch(
                f"a matrix of the shape {matrix.shape}; the model takes {self._width} columns", hint="encode rows by the signature"
            )
        if not len(matrix):
            return np.empty(0, dtype=np.float64)
        assert self._predict is not None  # refused when it was loaded
        try:
            found = self._predict(matrix)
        except ERRORS as error:
            raise SignatureMismatch(
                f"scikit-learn: {str(error)[:200]}", hint="impute nulls in the model, or choose one that takes them"
            ) from error
        return np.ascontiguousarray(found[:, 1] if self._is_probability else np.ravel(found), dtype=np.float64)


def _single_threaded(estimator: Any) -> None:
    """Takes threads from the estimator and its parts, and the names that would have scikit-learn warn about each matrix."""
    parameters = estimator.get_params(deep=True)
    jobs = {name: 1 for name, value in parameters.items() if name.rpartition("__")[2] == "n_jobs" and value != 1}
    if jobs:
        estimator.set_params(**jobs)
    for part in (estimator, *parameters.values()):
        getattr(part, "__dict__", {}).pop("feature_names_in_", None)
