"""Open Inference Protocol V2: tensors as columns and back, with the binary extension that Triton's clients speak.

Owns the protocol's bodies; its errors have their shape in `wire`. A tensor is a field, shape [rows] or [rows, 1]; a model
whose fields are all numbers also takes one tensor of shape [rows, fields].
"""

import importlib.metadata
import struct
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
import numpy as np

from modelyard.registry.domain import DType
from modelyard.serving.domain import BadRows, ServedVersion
from modelyard.serving.gateway.handler import Answer, Handler
from modelyard.serving.gateway.rows import MOST_ROWS, Asked, Form
from modelyard.serving.gateway.wire import BINARY, JSON, Headers, Reply, json_reply

HEADER_LENGTH = b"inference-header-content-length"
MOST_DIGITS = 12
_SIZE = struct.Struct("<I")
_NUMPY = {
    "BOOL": "?", "UINT8": "<u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8", "INT8": "<i1", "INT16": "<i2",
    "INT32": "<i4", "INT64": "<i8", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip
_DATATYPES: dict[DType, str] = {"float64": "FP64", "int64": "INT64", "bool": "BOOL", "string": "BYTES"}
OUTPUTS = {"value": "FP64", "id": "BYTES", "version": "INT64", "fallback": "BOOL"}

_Dimension = Annotated[int, msgspec.Meta(ge=0, le=2**31)]


class _Tensor(msgspec.Struct):
    name: str
    shape: Annotated[list[_Dimension], msgspec.Meta(min_length=1, max_length=2)]
    datatype: str
    parameters: dict[str, Any] = {}
    data: list[Any] | None = None


class _Wanted(msgspec.Struct):
    name: str
    parameters: dict[str, Any] = {}


class _Request(msgspec.Struct):
    inputs: list[_Tensor]
    id: str | None = None
    parameters: dict[str, Any] = {}
    outputs: list[_Wanted] | None = None


class Inference(msgspec.Struct, frozen=True):
    """A decoded request: what it asks, its id, and which outputs it wants, each in JSON or binary."""

    asked: Asked
    id: str | None
    outputs: dict[str, bool]


_decoder = msgspec.json.Decoder(_Request)


def inference_of(content: bytes, headers: Headers, form: Form) -> Inference:
    """What a body asks. Raises BadRows and TooLarge."""
    length = headers.get(HEADER_LENGTH)
    if length is not None and not (length.isdigit() and len(length) <= MOST_DIGITS and int(length) <= len(content)):
        raise BadRows(
            f"Inference-Header-Content-Length does not fit a body of {len(content)} bytes", hint="give the length of the JSON part"
        )
    size = len(content) if length is None else int(length)
    try:
        request = _decoder.decode(memoryview(content)[:size])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRows(form.refusal(error).message, hint="see the Open Inference Protocol, version 2") from error
    columns = _columns(request.inputs, memoryview(content)[size:], form)
    rows = len(next(iter(columns.values()), ()))
    return Inference(form.checked(columns, rows), request.id, _wanted(request))


def _wanted(request: _Request) -> dict[str, bool]:
    by_default = bool(request.parameters.get("binary_data_output"))
    if request.outputs is None:
        return dict.fromkeys(OUTPUTS, by_default)
    unknown = next((one.name for one in request.outputs if one.name not in OUTPUTS), None)
    if unknown is not None:
        raise BadRows(f"there is no output {unknown[:60]!r}", hint=f"outputs are {', '.join(OUTPUTS)}")
    return {one.name: bool(one.parameters.get("binary_data", by_default)) for one in request.outputs}


def _columns(tensors: Sequence[_Tensor], binary: memoryview, form: Form) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {}
    offset = 0
    for tensor in tensors:
        size = tensor.parameters.get("binary_data_size")
        if size is None:
            cells = _from_json(tensor)
        else:
            if not isinstance(size, int) or not 0 <= size <= len(binary) - offset:
                raise BadRows(f"input {tensor.name!r}: {size} bytes do not fit the body", hint="binary_data_size counts the tensor's bytes")
            cells = _from_binary(tensor, binary[offset : offset + size])
            offset += size
        if tensor.name in columns:
            raise BadRows(f"the input {tensor.name[:60]!r} stands twice", hint="name each input once")
        if len(tensors) == 1 and tensor.name not in form.fields and len(tensor.shape) == 2:
            return _matrix(tensor, cells, form)
        if len(tensor.shape) == 2 and tensor.shape[1] != 1:
            raise BadRows(f"input {tensor.name!r} has the shape {tensor.shape}", hint="a field has the shape [rows] or [rows, 1]")
        columns[tensor.name] = cells
    if offset != len(binary):
        raise BadRows(f"{len(binary) - offset} bytes follow the last tensor", hint="give binary_data_size for each binary tensor")
    return columns


def _matrix(tensor: _Tensor, cells: list[Any], form: Form) -> dict[str, list[Any]]:
    rows, width = tensor.shape
    if width != len(form.fields):
        raise BadRows(f"input {tensor.name!r} has {width} columns", hint=f"the fields are {', '.join(form.fields)}: one tensor each")
    if rows * width != len(cells) or rows > MOST_ROWS:
        raise BadRows(f"input {tensor.name!r} has {len(cells)} values for the shape {tensor.shape}", hint="fill the shape")
    return {name: cells[place::width] for place, name in enumerate(form.fields)}


def _from_json(tensor: _Tensor) -> list[Any]:
    cells = tensor.data
    if cells is None:
        raise BadRows(f"input {tensor.name!r} has no data", hint="give data, or binary_data_size and the bytes")
    if cells and isinstance(cells[0], list):
        if not all(isinstance(row, list) for row in cells):
            raise BadRows(f"input {tensor.name!r} mixes values and lists", hint="nest the data like its shape, or not at all")
        cells = [cell for row in cells for cell in row]
    return _sized(tensor, cells)


def _from_binary(tensor: _Tensor, content: memoryview) -> list[Any]:
    if tensor.datatype == "BYTES":
        return _sized(tensor, _texts(tensor.name, content))
    layout = _NUMPY.get(tensor.datatype)
    if layout is None:
        raise BadRows(f"input {tensor.name!r} has the datatype {tensor.datatype[:20]!r}", hint=f"known: {', '.join(_NUMPY)}, BYTES")
    if len(content) % np.dtype(layout).itemsize:
        raise BadRows(
            f"input {tensor.name!r}: {len(content)} bytes are no whole number of {tensor.datatype}", hint="send little-endian values"
        )
    cells: list[Any] = np.frombuffer(content, dtype=layout).tolist()
    return _sized(tensor, cells)


def _sized(tensor: _Tensor, cells: list[Any]) -> list[Any]:
    expected = int(np.prod(tensor.shape, dtype=object))
    if len(cells) != expected:
        raise BadRows(f"input {tensor.name!r} has {len(cells)} values for the shape {tensor.shape}", hint="fill the shape")
    return cells


def _texts(name: str, content: memoryview) -> list[str]:
    texts: list[str] = []
    offset = 0
    try:
        while offset < len(content):
            (length,) = _SIZE.unpack_from(content, offset)
            offset += _SIZE.size + length
            if offset > len(content):
                raise BadRows(f"input {name!r}: a text of {length} bytes runs over the end", hint="each text has its length before it")
            texts.append(str(content[offset - length : offset], "utf-8"))
    except (struct.error, UnicodeDecodeError) as error:
        raise BadRows(f"input {name!r}: {error}", hint="send UTF-8 texts, each with its length before it, little-endian") from error
    return texts


def reply_of(answer: Answer, inference: Inference) -> Reply:
    """The answer as tensors, in JSON or binary as each was asked for."""
    rows = len(answer.ids)
    tensors: dict[str, list[Any]] = {
        "value": answer.values,
        "id": answer.ids,
        "version": answer.versions or [answer.version] * rows,
        "fallback": [reason is not None for reason in answer.reasons] if answer.reasons else [False] * rows,
    }
    outputs: list[dict[str, Any]] = []
    binary: list[bytes] = []
    for name, is_binary in inference.outputs.items():
        output: dict[str, Any] = {"name": name, "shape": [rows], "datatype": OUTPUTS[name]}
        if is_binary:
            binary.append(_packed(tensors[name], OUTPUTS[name]))
            output["parameters"] = {"binary_data_size": len(binary[-1])}
        else:
            output["data"] = tensors[name]
        outputs.append(output)
    head: dict[str, Any] = {"model_name": answer.model, "model_version": str(answer.version), "outputs": outputs}
    head["parameters"] = {"revision": answer.revision}
    if inference.id is not None:
        head["id"] = inference.id
    content = msgspec.json.encode(head)
    if not binary:
        return Reply(200, content, JSON)
    return Reply(200, content + b"".join(binary), BINARY, ((HEADER_LENGTH, b"%d" % len(content)),))


def _packed(cells: list[Any], datatype: str) -> bytes:
    if datatype == "BYTES":
        texts = [text.encode() for text in cells]
        return b"".join(_SIZE.pack(len(text)) + text for text in texts)
    return np.asarray(cells, dtype=_NUMPY[datatype]).tobytes()


def server_metadata() -> Reply:
    """What `GET /v2` answers."""
    return json_reply({"name": "modelyard", "version": importlib.metadata.version("modelyard"), "extensions": ["binary_tensor_data"]})


def model_metadata(handler: Handler, version: ServedVersion) -> Reply:
    """The model's fields and outputs as tensors, on the platform of `version`."""
    traffic = handler.revision.traffic
    versions = [traffic.champion, *([traffic.canary.version] if traffic.canary else ())]
    return json_reply(
        {
            "name": handler.revision.model,
            "versions": [str(number) for number in versions],
            "platform": f"modelyard_{version.format}",
            "inputs": [{"name": name, "datatype": _DATATYPES[dtype], "shape": [-1]} for name, dtype in handler.form.fields.items()],
            "outputs": [{"name": name, "datatype": datatype, "shape": [-1]} for name, datatype in OUTPUTS.items()],
            "parameters": {"revision": handler.revision.number, "required": list(handler.form.required)},
        }
    )
