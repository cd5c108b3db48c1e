"""LightGBM's text format, read by the library's own C interface on one thread. The Python package is never imported here.

Owns the check of a text before the library sees it: its parser trusts sizes and indices, and a text is not to be trusted.
"""

import ctypes
import importlib.util
import sys
import threading
import weakref
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from modelyard.core.digests import Digest, digest_bytes
from modelyard.registry.domain import BadArtifact, FormatRefused, RuntimeMissing, Signature, SignatureMismatch
from modelyard.registry.encoding import Matrix, Vector
from modelyard.registry.formats.lightgbm_text import check_text, header_of

_DOUBLE, _NORMAL, _ROW_MAJOR = 1, 0, 1
_PARAMETERS = b"num_threads=1"
_LIBRARIES = {"darwin": "lib_lightgbm.dylib", "win32": "lib_lightgbm.dll"}

# Lines of the parameters that say how a training was run and not what it computed.
_OPERATIONAL = (
    "num_threads:", "data:", "valid:", "verbosity:", "machines:", "machine_list_filename:", "local_listen_port:", "time_out:",
    "force_col_wise:", "force_row_wise:", "histogram_pool_size:", "gpu_", "device_type:", "num_gpu:",
)  # fmt: skip


def dumped(model: Any, signature: Signature) -> bytes:
    """The text of a booster or an estimator. It must have been trained on the matrix of its signature."""
    booster = getattr(model, "booster_", model)
    text: str = booster.model_to_string()
    if text.rpartition("pandas_categorical:")[2].strip() not in ("null", "[]"):
        raise SignatureMismatch(
            "the model was trained on pandas categories, whose numbers only that training knows",
            hint="train on modelyard.numbers(rows), and name the places of categories by categorical_feature",
        )
    return text.encode()


def loaded(content: bytes, signature: Signature) -> "LightGbmPredictor":
    """The predictor of a text that was checked."""
    check_text(content)
    return LightGbmPredictor(content, signature)


def content(content: bytes) -> Digest:
    """The digest of the text without the lines that say how the training was run, such as its number of threads."""
    head, mark, rest = content.partition(b"\nparameters:")
    lines = [line for line in rest.decode("utf-8", "replace").splitlines() if not line.lstrip("[").startswith(_OPERATIONAL)]
    return digest_bytes(head + mark + "\n".join(lines).encode())


class LightGbmPredictor:
    """A booster behind the C interface: one thread, the same bits for a row alone and in any batch."""

    def __init__(self, content: bytes, signature: Signature) -> None:
        header = header_of(content)
        if header.features != len(signature.inputs):
            raise SignatureMismatch(
                f"the model takes {header.features} features, its signature has {len(signature.inputs)} inputs",
                hint="train on exactly the columns of the signature",
            )
        if header.classes != 1:
            raise FormatRefused(
                f"the model answers {header.classes} numbers a row", hint="serve one number a row: train one class against the rest"
            )
        self._library = _library()
        self._width = header.features
        self._booster = ctypes.c_void_p()
        self._call("LGBM_BoosterLoadModelFromString", content, ctypes.byref(ctypes.c_int()), ctypes.byref(self._booster))
        weakref.finalize(self, self._library.LGBM_BoosterFree, self._booster)
        self._fast = ctypes.c_void_p()
        self._call(
            "LGBM_BoosterPredictForMatSingleRowFastInit",
            self._booster, _NORMAL, 0, -1, _DOUBLE, self._width, _PARAMETERS, ctypes.byref(self._fast),
        )  # fmt: skip
        weakref.finalize(self, self._library.LGBM_FastConfigFree, self._fast)
        self._length = ctypes.c_int64()
        self._one = ctypes.c_double()
        self._length_at, self._one_at = ctypes.byref(self._length), ctypes.byref(self._one)
        self._predict_one = self._library.LGBM_BoosterPredictForMatSingleRowFast
        # The fast path writes into buffers of its own, so one row is answered at a time; it takes some microseconds.
        self._lock = threading.Lock()

    def predict(self, matrix: Matrix) -> Vector:
        """One number for each row."""
        rows = np.ascontiguousarray(matrix, dtype=np.float64)
        if rows.ndim != 2 or rows.shape[1] != self._width:
            raise SignatureMismatch(
                f"a matrix of the shape {rows.shape}; the model takes {self._width} columns", hint="encode rows by the signature"
            )
        if len(rows) == 1:
            return self._single(rows)
        result = np.empty(len(rows), dtype=np.float64)
        if len(rows):
            length = ctypes.c_int64()
            self._call(
                "LGBM_BoosterPredictForMat",
                self._booster, ctypes.c_void_p(rows.ctypes.data), _DOUBLE, ctypes.c_int32(rows.shape[0]), ctypes.c_int32(self._width),
                _ROW_MAJOR, _NORMAL, 0, -1, _PARAMETERS, ctypes.byref(length), ctypes.c_void_p(result.ctypes.data),
            )  # fmt: skip
        return result

    def _single(self, rows: Matrix) -> Vector:
        with self._lock:
            if self._predict_one(self._fast, ctypes.c_void_p(rows.ctypes.data), self._length_at, self._one_at):
                raise self._failed()
            value = self._one.value
        return np.array((value,), dtype=np.float64)

    def _call(self, name: str, *arguments: Any) -> None:
        if getattr(self._library, name)(*arguments):
            raise self._failed()

    def _failed(self) -> BadArtifact:
        said = self._library.LGBM_GetLastError().decode("utf-8", "replace")
        return BadArtifact(f"LightGBM: {said[:300]}", hint="save the model again with the library that trained it")


@cache
def _library() -> ctypes.CDLL:
    """The library inside the installed package, whose Python side takes a second to import and is not needed."""
    found = importlib.util.find_spec("lightgbm")
    folders = [Path(place) for place in (found.submodule_search_locations or ())] if found else []
    name = _LIBRARIES.get(sys.platform, "lib_lightgbm.so")
    path = next((path for folder in folders for path in (folder / "lib" / name, folder / "bin" / name) if path.is_file()), None)
    if path is None:
        raise RuntimeMissing("the format lightgbm needs lightgbm", hint="add lightgbm to this environment")
    library = ctypes.CDLL(str(path))
    library.LGBM_GetLastError.restype = ctypes.c_char_p
    return library
