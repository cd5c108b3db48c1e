"""The OpenAPI document of the operations, from their signatures. Owns its shape; what the routes are is said elsewhere."""

import inspect
from collections.abc import Sequence
from typing import Any

import msgspec

from modelyard.core.errors import ErrorBody
from modelyard.web.operations import API, BoundOperation

DIALECT = "3.1.0"


def document(items: Sequence[BoundOperation], version: str) -> dict[str, Any]:
    """The OpenAPI 3.1 document of `items`, sorted by path."""
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
    summary, _, rest = inspect.cleandoc(item.operation.function.__doc__ or item.operation.name).partition("\n")
    failed = {"type": "object", "properties": {"error": {"$ref": "#/components/schemas/ErrorBody"}}, "required": ["error"]}
    answers: dict[str, Any] = {"default": {"description": "What went wrong.", "content": {"application/json": {"schema": failed}}}}
    if result is None:
        answers["204"] = {"description": "Done."}
    else:
        answers["200"] = {"description": "The answer.", "content": {"application/json": {"schema": result}}}
    described: dict[str, Any] = {
        "operationId": item.operation.name,
        "tags": [item.operation.function.__module__.split(".")[1]],
        "summary": summary,
        "description": rest.strip(),
        "parameters": parameters,
        "responses": answers,
    }
    if body is not None:
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return described
