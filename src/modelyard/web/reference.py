"""The page `/docs`: the interface's own reference, drawn from its OpenAPI document. Owns how a schema reads in words."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from modelyard.web.openapi import JSON
from modelyard.web.pages import Page, page

DEEPEST = 6
METHODS = ("get", "post", "put", "patch", "delete")


class Parameter(msgspec.Struct, frozen=True, kw_only=True):
    """A value that a request carries: its name, where it stands, its type in words, whether it must be given."""

    name: str
    where: str
    kind: str
    is_required: bool
    note: str = ""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """An operation as a reader needs it: what it does, what it takes, what it answers, and how to try it."""

    id: str
    method: str
    path: str
    summary: str
    text: str
    parameters: tuple[Parameter, ...]
    fields: tuple[Parameter, ...]
    answer: tuple[Parameter, ...]
    answer_kind: str
    command: str


class Chapter(msgspec.Struct, frozen=True, kw_only=True):
    """The operations of one component."""

    name: str
    entries: tuple[Entry, ...]


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """The context of `web/reference.html`."""

    title: str
    version: str
    chapters: tuple[Chapter, ...]


def reference_page(document: Mapping[str, Any]) -> Page:
    """The page `/docs` over an OpenAPI document; what it shows is worked out once."""
    shown = reference(document)

    def show_reference() -> Reference:
        return shown

    return page("/docs", show_reference, "web/reference.html", title="Interface")


def reference(document: Mapping[str, Any]) -> Reference:
    """What `/docs` shows of an OpenAPI document, by component and path."""
    schemas = document.get("components", {}).get("schemas", {})
    chapters: dict[str, list[Entry]] = {}
    for path, method, item in _operations(document):
        tag = next(iter(item.get("tags", ())), "other")
        chapters.setdefault(tag, []).append(_entry(path, method, item, schemas))
    info = document["info"]
    ordered = tuple(Chapter(name=name, entries=tuple(entries)) for name, entries in sorted(chapters.items()))
    return Reference(title=info["title"], version=info["version"], chapters=ordered)


def kind_of(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    """A schema's type in words.

    >>> kind_of({"type": "array", "items": {"$ref": "#/components/schemas/Run"}}, {"Run": {"title": "Run"}})
    'list of Run'
    >>> kind_of({"anyOf": [{"type": "integer"}, {"type": "null"}]}, {})
    'integer or null'
    """
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        target = schemas.get(name, {})
        return name if "enum" not in target else kind_of(target, schemas)
    if "enum" in schema:
        return " | ".join(json.dumps(value) for value in schema["enum"])
    if "const" in schema:
        return json.dumps(schema["const"])
    if options := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(dict.fromkeys(kind_of(option, schemas) for option in options))
    return _plain_kind(schema, schemas)


def _plain_kind(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    match schema.get("type"):
        case "array":
            return f"list of {kind_of(schema.get('items') or {}, schemas)}"
        case "object" if isinstance(schema.get("additionalProperties"), dict):
            return f"object of {kind_of(schema['additionalProperties'], schemas)}"
        case str(name):
            return name
        case _:
            return "anything"


def example(schema: Mapping[str, Any], schemas: Mapping[str, Any], depth: int = 0) -> Any:
    """A value that fits the schema, for a command to start from: required fields only.

    >>> example({"type": "object", "properties": {"to": {"type": "string"}, "n": {"type": "integer"}}, "required": ["to"]}, {})
    {'to': '…'}
    """
    schema = _followed(schema, schemas)
    for key in ("default", "const"):
        if key in schema:
            return schema[key]
    if schema.get("enum"):
        return schema["enum"][0]
    if options := schema.get("anyOf") or schema.get("oneOf"):
        return example(options[0], schemas, depth + 1)
    if schema.get("type") == "object" and depth < DEEPEST:
        required = schema.get("required", ())
        return {name: example(part, schemas, depth + 1) for name, part in schema.get("properties", {}).items() if name in required}
    return {"string": "…", "integer": 1, "number": 0.5, "boolean": True, "array": [], "object": {}}.get(str(schema.get("type")))


def _operations(document: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for path, methods in document.get("paths", {}).items():
        for method in METHODS:
            if method in methods:
                yield path, method, methods[method]


def _entry(path: str, method: str, item: Mapping[str, Any], schemas: Mapping[str, Any]) -> Entry:
    body = _json_schema(item.get("requestBody", {}))
    done: Mapping[str, Any] = next((given for status, given in item.get("responses", {}).items() if status.startswith("2")), {})
    answer = _json_schema(done)
    parameters = tuple(
        Parameter(
            name=given["name"],
            where=given["in"],
            kind=kind_of(given.get("schema", {}), schemas),
            is_required=given.get("required", False),
            note=given.get("description", ""),
        )
        for given in item.get("parameters", ())
    )
    return Entry(
        id=item.get("operationId", f"{method}-{path}"),
        method=method.upper(),
        path=path,
        summary=item.get("summary", ""),
        text=item.get("description", ""),
        parameters=parameters,
        fields=_fields(body, schemas),
        answer=_fields(answer, schemas),
        answer_kind=kind_of(answer, schemas) if answer else _file_kind(done) or "nothing",
        command=_command(path, method, parameters, _sent(body, item.get("requestBody", {}), schemas)),
    )


def _fields(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> tuple[Parameter, ...]:
    schema = _followed(schema, schemas)
    if schema.get("type") == "array":
        schema = _followed(schema.get("items") or {}, schemas)
    required: Sequence[str] = schema.get("required", ())
    return tuple(
        Parameter(name=name, where="body", kind=kind_of(part, schemas), is_required=name in required, note=part.get("description", ""))
        for name, part in schema.get("properties", {}).items()
    )


def _sent(body: Mapping[str, Any], holder: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    """The options with which curl sends the body: an example of the JSON, or a file; empty where there is none."""
    if body:
        return f"-H 'Content-Type: {JSON}' -d '{json.dumps(example(body, schemas), ensure_ascii=False)}'"
    kind = _file_kind(holder)
    return f"-H 'Content-Type: {kind}' --data-binary @FILE" if kind else ""


def _command(path: str, method: str, parameters: Sequence[Parameter], sent: str) -> str:
    for parameter in parameters:
        path = path.replace("{" + parameter.name + "}", parameter.name.upper())
    query = "&".join(f"{p.name}={p.name.upper()}" for p in parameters if p.where == "query" and p.is_required)
    lines = [f'curl {"" if method == "get" else f"-X {method.upper()} "}-H "Authorization: Bearer $MODELYARD_TOKEN"']
    if sent:
        lines.append(f"  {sent}")
    lines.append(f'  "$MODELYARD_URL{path}{"?" if query else ""}{query}"')
    return " \\\n".join(lines)


def _json_schema(holder: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = holder.get("content", {}).get(JSON, {}).get("schema", {})
    return found


def _file_kind(holder: Mapping[str, Any]) -> str:
    """The media type of what is no JSON; empty where there is none."""
    return next((str(kind) for kind in holder.get("content", {}) if kind != JSON), "")


def _followed(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Mapping[str, Any]:
    for _ in range(DEEPEST):
        if "$ref" not in schema:
            break
        schema = schemas.get(str(schema["$ref"]).rpartition("/")[2], {})
    return schema
