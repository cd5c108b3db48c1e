"""The interface's document is whole, as a running server hands it out."""

from modelyard.access.domain import Role
from modelyard.server.access_table import TABLE
from modelyard.web.operations import API
from tests.server.conftest import Running


def test_every_route_below_the_interfaces_root_is_in_its_document(running: Running) -> None:
    routes = {rule for rule in TABLE if rule.partition(" ")[2].startswith(API)}
    with running.client(Role.VIEWER) as client:
        paths = client.get("/openapi.json").json()["paths"]
    described = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
    assert (sorted(routes - described), sorted(described - routes)) == ([], [])


def test_what_takes_or_answers_a_file_says_which_kind(running: Running) -> None:
    with running.client(Role.VIEWER) as client:
        join = client.get("/openapi.json").json()["paths"]["/api/v1/feature-sets/{feature_set}/join"]["post"]
        page = client.get("/docs", headers={"accept": "text/html"}).text
    assert list(join["requestBody"]["content"]) == list(join["responses"]["200"]["content"]) == ["application/vnd.apache.parquet"]
    assert [(one["name"], one["in"]) for one in join["parameters"]] == [("feature_set", "path"), ("as_of", "query")]
    assert "--data-binary @FILE" in page
