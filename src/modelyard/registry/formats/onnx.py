"""ONNX by ONNX Runtime on one thread. A model that points to files outside of itself is refused before the library sees it.

Owns the choice of input and output. Converted models often compute in float32: prove parity before serving one.
"""

from typing import Any

import numpy as np
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as state

from modelyard.core.digests import Digest
from modelyard.registry.domain import BadArtifact, FormatRefused, Signature, SignatureMismatch
from modelyard.registry.encoding import Matrix, Vector
from modelyard.registry.formats.onnx_wire import check_model, model_content

# What the library's C side raises; these classes share no base.
ERRORS = (
    state.Fail,
    state.EPFail,
    state.InvalidArgument,
    state.InvalidGraph,
    state.InvalidProtobuf,
    state.NoModel,
    state.NoSuchFile,
    state.NotImplemented,
    state.RuntimeException,
    RuntimeError,
    ValueError,
)
_INPUTS = {"tensor(float)": np.float32, "tensor(double)": np.float64}


def dumped(model: Any, signature: Signature) -> bytes:
    """The bytes of a model."""
    return bytes(model) if isinstance(model, bytes | bytearray) else bytes(model.SerializeToString(deterministic=True))


def loaded(content: bytes, signature: Signature) -> "OnnxPredictor":
    """The predictor of a model that is whole in itself."""
    check_model(content)
    return OnnxPredictor(content, signature)


def content(content: bytes) -> Digest:
    """The digest of the model without the names of its producer and its notes."""
    return model_content(content)


class OnnxPredictor:
    """A session with one thread: the same bits for the same matrix."""

    def __init__(self, content: bytes, signature: Signature) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = 4
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except ERRORS as error:
            raise BadArtifact(
                f"ONNX Runtime: {str(error)[:300]}", hint="export the model again; see the runtime's version and opset"
            ) from error
        self._input, self._dtype = _input(self._session, len(signature.inputs))
        self._width = len(signature.inputs)
        self._output, self._column = _output(self._session, is_probability=signature.output.kind == "probability")

    def predict(self, matrix: Matrix) -> Vector:
        """One number for each row."""
        if matrix.ndim != 2 or matrix.shape[1] != self._width:
            raise SignatureMismatch(
                f"a matrix of the shape {matrix.shape}; the model takes {self._width} columns", hint="encode rows by the signature"
            )
        if not len(matrix):
            return np.empty(0, dtype=np.float64)
        rows = np.ascontiguousarray(matrix, dtype=self._dtype)
        try:
            (found,) = self._session.run([self._output], {self._input: rows})
        except ERRORS as error:
            raise SignatureMismatch(
                f"ONNX Runtime: {str(error)[:200]}", hint="export the model for the columns of its signature"
            ) from error
        column = found if found.ndim == 1 else found[:, self._column]
        return np.ascontiguousarray(column, dtype=np.float64)


def _input(session: Any, width: int) -> tuple[str, Any]:
    inputs = session.get_inputs()
    if len(inputs) != 1 or inputs[0].type not in _INPUTS or len(inputs[0].shape) != 2:
        raise FormatRefused(
            f"the model takes {', '.join(f'{one.name}: {one.type}{one.shape}' for one in inputs)}",
            hint="export it with one input, a float or double tensor of the shape (rows, inputs)",
        )
    if isinstance(inputs[0].shape[1], int) and inputs[0].shape[1] != width:
        raise SignatureMismatch(
            f"the model takes {inputs[0].shape[1]} columns, its signature has {width} inputs",
            hint="train on exactly the columns of the signature",
        )
    return inputs[0].name, _INPUTS[inputs[0].type]


def _output(session: Any, *, is_probability: bool) -> tuple[str, int]:
    """The output that answers, and its column: the second of two probabilities, or the only one."""
    tensors = [(one.name, one.shape) for one in session.get_outputs() if one.type in _INPUTS]
    for width in (2, 1) if is_probability else (1,):
        for name, shape in tensors:
            if len(shape) == 2 and shape[1] == width:
                return name, width - 1
    for name, shape in tensors:
        if len(shape) == 1 or (len(shape) == 2 and not isinstance(shape[1], int) and not is_probability):
            return name, 0
    told = ", ".join(f"{one.name}: {one.type}{one.shape}" for one in session.get_outputs())
    raise FormatRefused(f"the model answers {told}", hint="export it with a tensor of one number a row; for scikit-learn with zipmap=False")
