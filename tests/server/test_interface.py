"""The real interface: its OpenAPI document, and how it answers a body that it cannot take."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from modelyard.access.domain import Role
from modelyard.server.access_table import TABLE
from modelyard.server.surface import OPERATIONS
from modelyard.web.operations import API
from tests.server.conftest import Running

TEAM = b'{"team":"x","name":"X"}'


@pytest.fixture(scope="module")
def described(running: Running) -> Any:
    with running.client(Role.VIEWER) as client:
        return client.get("/openapi.json").raise_for_status().json()


def references(part: Any) -> Iterator[str]:
    """Every `$ref` in a document."""
    if isinstance(part, dict):
        yield from (value for name, value in part.items() if name == "$ref")
    for inner in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from references(inner)


def test_the_document_is_valid_openapi_and_leads_nowhere_outside(described: Any) -> None:
    assert [error.message for error in OpenAPIV31SpecValidator(described).iter_errors()] == []
    schemas = {f"#/components/schemas/{name}" for name in described["components"]["schemas"]}
    assert set(references(described)) <= schemas


def test_every_route_below_the_interfaces_root_is_in_the_document_once(described: Any) -> None:
    routes = {rule for rule in TABLE if rule.partition(" ")[2].startswith(f"{API}/")}
    found = {f"{method.upper()} {path}": one["operationId"] for path, item in described["paths"].items() for method, one in item.items()}
    assert (sorted(routes - set(found)), sorted(set(found) - routes)) == ([], [])
    assert len(set(found.values())) == len(found) > len(OPERATIONS)


def test_what_takes_or_answers_a_file_says_which_kind(running: Running) -> None:
    with running.client(Role.VIEWER) as client:
        join = client.get("/openapi.json").json()["paths"]["/api/v1/feature-sets/{feature_set}/join"]["post"]
        page = client.get("/docs", headers={"accept": "text/html"}).text
    assert list(join["requestBody"]["content"]) == list(join["responses"]["200"]["content"]) == ["application/vnd.apache.parquet"]
    assert [(one["name"], one["in"]) for one in join["parameters"]] == [("feature_set", "path"), ("as_of", "query")]
    assert "--data-binary @FILE" in page


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"team":', "truncated"),
        (b"\xff\xfe", "malformed"),
        (b"[]", "array"),
        (TEAM[:-1] + b',"nmae":"X"}', "nmae"),
        (b'{"team":"x"}', "name"),
        (b'{"team":1,"name":"X"}', "team"),
    ],
)
def test_a_body_that_says_something_else_is_refused_in_our_shape(running: Running, body: bytes, words: str) -> None:
    with running.client(Role.ADMIN) as client:
        answer = client.post("/api/v1/teams", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400, answer.text
    error = json.loads(answer.content)["error"]
    assert sorted(error) == ["code", "hint", "message"]
    assert words in error["message"], error
