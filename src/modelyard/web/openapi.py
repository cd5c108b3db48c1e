"""The OpenAPI document of the operations, from their signatures. Owns its shape; what the routes are is said elsewhere."""

import inspect
from collections.abc import Sequence
from typing import Any

import msgspec

from modelyard.core.errors import ErrorBody
from modelyard.web.binding import path_names
from modelyard.web.idempotency import LONGEST_KEY, takes_key
from modelyard.web.operations import API, BoundOperation, Transfer

DIALECT = "3.1.0"
JSON = "application/json"


KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Names this request: sent again within a day, it is answered as the first time and changes nothing more.",
    "schema": {"type": "string", "minLength": 1, "maxLength": LONGEST_KEY},
}


def document(items: Sequence[BoundOperation], version: str, transfers: Sequence[Transfer] = ()) -> dict[str, Any]:
    """The OpenAPI 3.1 document of `items` and `transfers`, sorted by path."""
    kinds: list[Any] = [ErrorBody]
    for item in items:
        kinds += [item.body] if item.body is not None else []
        kinds += [item.binding.result] if item.binding.result not in (None, type(None)) else []
        kinds += [item.binding.hints[name] for name in (*item.binding.path, *(() if item.body else item.binding.wire))]
    schemas, components = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    found = iter(schemas[1:])
    paths: dict[str, dict[str, Any]] = {}
    for item in items:
        body = next(found) if item.body is not None else None
        result = next(found) if item.binding.result not in (None, type(None)) else None
        parameters = [_parameter(name, item, next(found)) for name in (*item.binding.path, *(() if item.body else item.binding.wire))]
        paths.setdefault(API + item.operation.path, {})[item.operation.method.lower()] = _operation(item, parameters, body, result)
    for transfer in transfers:
        paths.setdefault(API + transfer.path, {})[transfer.method.lower()] = _transfer(transfer)
    return {
        "openapi": DIALECT,
        "info": {"title": "Modelyard", "version": version, "description": "The control plane's operations."},
        "paths": dict(sorted(paths.items())),
        "components": {"schemas": components, "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
        "security": [{"token": []}],
    }


def _parameter(name: str, item: BoundOperation, schema: Any) -> dict[str, Any]:
    if name in item.binding.path:
        return {"name": name, "in": "path", "required": True, "schema": schema}
    required = item.binding.wire[name].default is inspect.Parameter.empty
    return {"name": name, "in": "query", "required": required, "schema": schema}


def _operation(item: BoundOperation, parameters: list[dict[str, Any]], body: Any, result: Any) -> dict[str, Any]:
    operation = item.operation
    described: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [operation.function.__module__.split(".")[1]],
        **_words(operation.function.__doc__ or operation.name),
        "parameters": parameters,
        "responses": _answers(None if result is None else {JSON: {"schema": result}}),
    }
    if takes_key(item):
        described["parameters"] = [*parameters, KEY]
    if body is not None:
        described["requestBody"] = {"required": True, "content": {JSON: {"schema": body}}}
    return described


def _transfer(item: Transfer) -> dict[str, Any]:
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in path_names(item.path)
    ]
    for name, meaning in item.query.items():
        parameters.append({"name": name, "in": "query", "required": True, "description": meaning, "schema": {"type": "string"}})
    described: dict[str, Any] = {
        "operationId": item.name,
        "tags": [item.component],
        **_words(item.about),
        "parameters": parameters,
        "responses": _answers(_file(item.answers)),
    }
    if item.takes:
        described["requestBody"] = {"required": True, "content": _file(item.takes)}
    return described


def _words(text: str) -> dict[str, str]:
    summary, _, rest = inspect.cleandoc(text).partition("\n")
    return {"summary": summary, "description": rest.strip()}


def _file(media_type: str) -> dict[str, Any]:
    return {media_type: {"schema": {"type": "string"} if media_type.startswith("text/") else {"type": "string", "format": "binary"}}}


def _answers(content: dict[str, Any] | None) -> dict[str, Any]:
    """What an operation answers: its `content`, or nothing, and an error in the one shape."""
    failed = {"type": "object", "properties": {"error": {"$ref": "#/components/schemas/ErrorBody"}}, "required": ["error"]}
    done = {"204": {"description": "Done."}} if content is None else {"200": {"description": "The answer.", "content": content}}
    return {"default": {"description": "What went wrong.", "content": {JSON: {"schema": failed}}}, **done}
