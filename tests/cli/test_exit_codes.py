"""Exit codes of errors that a server tells: the kind of an error arrives, whatever status it shares with another."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from modelyard.core.errors import EXIT_CODE, Kind, ModelyardError
from modelyard.registry.errors import FormatRefused
from modelyard.web.http import described, error_response
from tests.cli.conftest import Yard

CODES = {Kind.REFUSED: 3, Kind.CONFLICT: 1, Kind.INVALID: 1, Kind.MISSING: 1, Kind.INTERNAL: 1, Kind.TOO_LARGE: 1}
CODES |= {Kind.UNAUTHENTICATED: 5, Kind.FORBIDDEN: 5, Kind.THROTTLED: 4, Kind.OVERLOADED: 4, Kind.UNREACHABLE: 4}


class Failing(ThreadingHTTPServer):
    """A server on the wire that answers everything with one error, encoded as the control plane encodes it."""

    error: ModelyardError

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.server_port}"


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Failing)
        body, status = described(self.server.error)
        answer = error_response(body, status)
        self.send_response(status)
        self.end_headers()
        self.wfile.write(answer.content)

    def log_message(self, *said: object) -> None:
        """Says nothing among the tests' own output."""


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch, yard: Yard) -> Iterator[Failing]:
    with Failing(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("MODELYARD_URL", server.url)
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("kind", Kind)
def test_each_kind_of_error_ends_with_its_own_code(failing: Failing, yard: Yard, kind: Kind) -> None:
    failing.error = ModelyardError("no", hint="try another")
    failing.error.kind = kind  # type: ignore[misc]  # every kind in turn, whoever raises it
    said = yard("user", "list")
    assert (said.code, said.out) == (CODES[kind], "")
    assert "yard: no [modelyard_error]\n  try another" in said.err
    assert EXIT_CODE[kind] == CODES[kind]


def test_a_refusal_says_that_it_is_one(failing: Failing, yard: Yard) -> None:
    failing.error = FormatRefused("model.pkl is a pickle", hint="return the model from the training function")
    said = yard("user", "list", "--json")
    assert said.code == 3
    assert said.json["error"] == {
        "code": "format_refused",
        "message": "model.pkl is a pickle",
        "hint": "return the model from the training function",
        "kind": "refused",
    }
