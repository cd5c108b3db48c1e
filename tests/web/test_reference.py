"""The interface's own reference, from its OpenAPI document."""

import json
import shlex
from typing import Any

import pytest
from litestar.testing import TestClient

from modelyard.web.reference import Parameter, example, kind_of, reference
from tests.web.gallery import INTERFACE

RENAME = next(entry for entry in reference(INTERFACE).chapters[0].entries if entry.id == "rename_model")
SCHEMAS: dict[str, Any] = {
    "Node": {"type": "object", "properties": {"next": {"$ref": "#/components/schemas/Node"}}, "required": ["next"]},
    "Role": {"enum": ["viewer", "admin"]},
}


def test_an_operation_says_what_it_does_takes_and_answers() -> None:
    assert (RENAME.method, RENAME.path, RENAME.summary) == ("POST", "/api/v1/models/{model}/rename", "The model under its new name.")
    assert RENAME.text == "Its versions keep their numbers. Raises NotFound."
    model, key = RENAME.parameters
    assert model == Parameter(name="model", where="path", kind="string", is_required=True)
    assert (key.name, key.where, key.is_required) == ("Idempotency-Key", "header", False)
    assert [(field.name, field.kind, field.is_required) for field in RENAME.fields] == [
        ("to", "string", True),
        ("why", "string or null", False),
    ]
    assert (RENAME.answer_kind, [field.name for field in RENAME.answer]) == ("Renamed", ["model", "versions", "why"])


def test_its_command_is_one_that_a_shell_reads_and_its_body_is_json() -> None:
    words = shlex.split(RENAME.command.replace("\\\n", " "))
    assert words[:3] == ["curl", "-X", "POST"]
    assert json.loads(words[words.index("-d") + 1]) == {"to": "…"}
    assert words[-1] == "$MODELYARD_URL/api/v1/models/MODEL/rename"


def test_a_read_has_its_required_query_in_the_command() -> None:
    entry = next(entry for entry in reference(INTERFACE).chapters[0].entries if entry.id == "list_models")
    assert entry.command.endswith('"$MODELYARD_URL/api/v1/models?owner=OWNER"')
    assert entry.answer_kind == "list of Renamed"


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"$ref": "#/components/schemas/Role"}, '"viewer" | "admin"'),
        ({"type": "object", "additionalProperties": {"type": "number"}}, "object of number"),
        ({"const": 1}, "1"),
        ({}, "anything"),
    ],
)
def test_a_schema_reads_in_words(schema: dict[str, Any], words: str) -> None:
    assert kind_of(schema, SCHEMAS) == words


def test_a_type_that_holds_itself_has_an_example_of_finite_depth() -> None:
    assert len(json.dumps(example({"$ref": "#/components/schemas/Node"}, SCHEMAS))) < 200


def test_names_in_what_an_operation_says_are_set_as_code(client: TestClient[Any]) -> None:
    shown = client.get("/docs", headers={"accept": "text/html"}).text
    assert "The models of an <code>owner</code>, by name." in shown
