"""Formats: how a trained model becomes a folder, and a folder a predictor again, without ever running what it brings along.

Owns which formats there are and what a folder holds. Each format is a module that is imported when it is needed, so that
neither the server nor a training environment loads the library of another.
"""

import importlib
from pathlib import Path
from typing import Any, Protocol, cast

import msgspec
import numpy as np

from modelyard.core.digests import Digest, TooDeep, canonical_json, digest_of
from modelyard.registry.domain import BadArtifact, Format, FormatRefused, Parity, ParityBroken, RuntimeMissing, Signature
from modelyard.registry.encoding import Matrix, Vector

HEADER = "modelyard.json"
FILES: dict[Format, str] = {Format.LIGHTGBM: "model.txt", Format.ONNX: "model.onnx", Format.SKOPS: "model.skops"}
MOST_BYTES = 2 << 30

_PICKLED = frozenset({".pkl", ".pickle", ".joblib", ".pt", ".pth", ".bin", ".dill", ".cloudpickle"})


class Predictor(Protocol):
    """A model that is ready to answer: the same bits for the same matrix, from any thread."""

    def predict(self, matrix: Matrix) -> Vector:
        """One number for each row of `matrix`, shape (rows, inputs), float64."""
        ...


class Header(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a model's folder says about itself, in `modelyard.json`."""

    format: Format
    signature: Signature


class FormatModule(Protocol):
    """What the module of a format offers."""

    def dumped(self, model: Any, signature: Signature) -> bytes:
        """The model's one file. Raises FormatRefused, UntrustedType and SignatureMismatch."""
        ...

    def loaded(self, content: bytes, signature: Signature) -> Predictor:
        """The predictor of that file. Raises BadArtifact, FormatRefused, UntrustedType and SignatureMismatch."""
        ...

    def content(self, content: bytes) -> Any:
        """What the file computes, as JSON or a digest: equal for two trainings on the same data, code and environment."""
        ...


def save(model: Any, folder: Path, signature: Signature) -> Format:
    """Writes a trained model into `folder`, in the format that fits its type; that format.

    Takes LightGBM's boosters and estimators, scikit-learn's estimators, and ONNX models, also as bytes. The very bytes
    are loaded again before this returns, so that what cannot be served is refused where it was trained.
    """
    kind = format_of(model)
    module = _module(kind)
    content = module.dumped(model, signature)
    module.loaded(content, signature)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILES[kind]).write_bytes(content)
    (folder / HEADER).write_bytes(canonical_json(msgspec.to_builtins(Header(format=kind, signature=signature))))
    return kind


def load(folder: Path) -> Predictor:
    """The predictor of the model in `folder`. Nothing that the folder brings along is run, whatever it claims to be.

    Raises FormatRefused, UntrustedType, BadArtifact, SignatureMismatch, RuntimeMissing.
    """
    header = read_header(folder)
    return _module(header.format).loaded(_file(folder, header.format), header.signature)


def content_digest(folder: Path) -> Digest:
    """The digest of what the model in `folder` computes: of its signature and its normalised file. The model is not loaded."""
    header = read_header(folder)
    content = _module(header.format).content(_file(folder, header.format))
    try:
        return digest_of({"format": header.format.value, "signature": header.signature, "content": content})
    except TooDeep as error:
        raise BadArtifact("the model nests too deep", hint="save the model again") from error


def read_header(folder: Path) -> Header:
    """What the folder says about itself. Raises FormatRefused where it is no folder of ours, with what to do about it."""
    path = folder / HEADER
    if not path.is_file():
        raise refused_folder(sorted(file.name for file in folder.iterdir())) if folder.is_dir() else BadArtifact(f"no folder {folder.name}")
    try:
        header = msgspec.json.decode(path.read_bytes(), type=Header)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadArtifact(f"{HEADER}: {error}", hint="ship the model again: its stage writes the folder anew") from error
    if header.format not in FILES:
        raise FormatRefused(f"a {header.format} folder is never loaded here", hint="register the model in one of lightgbm, onnx and skops")
    return header


def refused_folder(names: list[str]) -> FormatRefused:
    """The error for a folder of another kind, with the way from there."""
    pickled = next((name for name in names if Path(name).suffix.lower() in _PICKLED), "")
    if pickled:
        return FormatRefused(
            f"{pickled} is a pickle: loading it would run whatever it holds",
            hint="save the model as LightGBM text, ONNX or skops: return it from the training function, and yard ship saves it",
        )
    if "MLmodel" in names:
        return FormatRefused(
            "a folder of MLflow's is kept and handed out, not loaded here", hint="return the model from a training function, or convert it"
        )
    return FormatRefused(
        f"no model of a known format among {', '.join(names[:8]) or 'no files'}",
        hint="return the model from the training function, and yard ship saves it in one of them",
    )


def format_of(model: Any) -> Format:
    """The format that fits a trained model's type. Raises FormatRefused for any other."""
    names = {f"{kind.__module__}.{kind.__qualname__}" for kind in type(model).__mro__}
    if names & {"lightgbm.basic.Booster", "lightgbm.sklearn.LGBMModel"}:
        return Format.LIGHTGBM
    if isinstance(model, bytes | bytearray) or any(name.endswith(".ModelProto") for name in names):
        return Format.ONNX
    if "sklearn.base.BaseEstimator" in names:
        return Format.SKOPS
    kind = type(model)
    raise FormatRefused(
        f"a {kind.__module__}.{kind.__qualname__} has no safe format here",
        hint="return a LightGBM model, a scikit-learn estimator, or an ONNX model that it was converted to",
    )


def _module(kind: Format) -> FormatModule:
    try:
        return cast("FormatModule", importlib.import_module(f"{__name__}.{kind.value}"))
    except ModuleNotFoundError as error:
        raise RuntimeMissing(f"the format {kind} needs {error.name}", hint=f"add {error.name} to this environment") from error


def _file(folder: Path, kind: Format) -> bytes:
    path = folder / FILES[kind]
    if path.resolve().parent != folder.resolve():
        raise BadArtifact(f"{path.name} leads out of the folder", hint="store the file itself, not a link")
    if not path.is_file():
        raise BadArtifact(f"the folder has no {path.name}, which {HEADER} promises", hint="save the model again")
    if path.stat().st_size > MOST_BYTES:
        raise BadArtifact(
            f"{path.name} has {path.stat().st_size:,} bytes; at most {MOST_BYTES:,} are loaded", hint="make the model smaller"
        )
    return path.read_bytes()


def parity(model: Predictor, predictor: Predictor, rows: Matrix) -> Parity:
    """How far `predictor` is from `model` over `rows`, absolute and in units of the last place of float32."""
    left, right = model.predict(rows), predictor.predict(rows)
    if left.tobytes() == right.tobytes():
        return Parity(rows=len(rows), is_identical=True, largest_difference=0.0, largest_ulp32=0)
    both_nan = np.isnan(left) & np.isnan(right)
    with np.errstate(invalid="ignore"):
        difference = np.where(both_nan, 0.0, np.abs(left - right))
    ulp = np.where(both_nan, 0, np.abs(_ordered32(left) - _ordered32(right)))
    largest = float("inf") if np.isnan(difference).any() else float(difference.max())
    return Parity(rows=len(rows), is_identical=False, largest_difference=largest, largest_ulp32=int(ulp.max()))


def require_parity(found: Parity, *, most_difference: float) -> None:
    """Raises ParityBroken where two predictors are further apart than `most_difference`, or nothing was compared."""
    if not found.rows or found.largest_difference > most_difference:
        raise ParityBroken(
            f"the stored model differs from the trained one by {found.largest_difference:.3g} over {found.rows} rows; "
            f"at most {most_difference:.3g} is allowed",
            hint="convert it with more precision, or keep a format that answers in float64",
        )


def _ordered32(values: Vector) -> np.ndarray[Any, np.dtype[np.int64]]:
    """float32 values as integers whose differences count the representable values between them."""
    bits = values.astype(np.float32).view(np.int32).astype(np.int64)
    return np.where(bits < 0, -(2**31) - bits, bits)
