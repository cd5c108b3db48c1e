"""The ledger over HTTP: operations that an auditor calls, pages that people read."""

import base64
import hashlib
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa
from litestar import Litestar, Request, Response
from litestar.testing import TestClient

from modelyard.ledger import store
from modelyard.ledger.api import OPERATIONS
from modelyard.ledger.domain import Checkpoint, EntryId, NewEntry, Reader
from modelyard.ledger.pages import PAGES, Actors
from modelyard.ledger.service import (
    Contents,
    LogKey,
    leaf_hash,
    opened_checkpoint,
    record,
    sequence_pending,
    verify_consistency,
    verify_inclusion,
)
from modelyard.storage.database import Database, Snapshot
from modelyard.web.assets import load_assets
from modelyard.web.binding import Resources
from modelyard.web.frame import Shell
from modelyard.web.http import described, error_response, operation_handler
from modelyard.web.operations import bind
from modelyard.web.rendering import templates
from modelyard.web.routes import Site, page_routes
from tests.ledger.conftest import HOLDER, entry

INJECTABLE = frozenset({Actors, Contents, LogKey, Reader, Database})
HTML = {"accept": "text/html"}
Client = TestClient[Litestar]
Append = Callable[[int], list[EntryId]]
Sign = Callable[[], Checkpoint]

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def answered(_: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """An error in the one JSON shape."""
    return error_response(*described(error))


def called(_: Snapshot, actors: Collection[str]) -> dict[str, str]:
    """The names of those actors: those of the tests have one each."""
    return {actor: f"Name of {actor}" for actor in actors}


def reader_of(request: Request[Any, Any, Any]) -> dict[type, Any]:
    """Whose entries the request may read: those of the team that it names, else all."""
    team = request.headers.get("x-team")
    return {Reader: Reader((team,) if team else None)}


@pytest.fixture
def client(database: Database, key: LogKey) -> Iterator[Client]:
    """A browser, or an auditor's program, in front of the ledger's routes."""
    with ThreadPoolExecutor(2) as pool:
        contents = Contents(looked=lambda _: {})
        values: dict[type, Any] = {Actors: Actors(names=called), LogKey: key, Contents: contents, Database: database}
        resources = Resources(database=database, values=values, pool=pool)
        shell = Shell(clock=database.clock, version="0", pages=PAGES, viewer=lambda _: None, csrf=lambda _: "")
        site = Site(
            shell=shell, templates=templates(load_assets(), PAGES), resources=resources, injectable=INJECTABLE, request_values=reader_of
        )
        handlers = [operation_handler(bind(item, INJECTABLE), resources, reader_of) for item in OPERATIONS]
        with TestClient(Litestar([*handlers, *page_routes(site, PAGES)], exception_handlers={Exception: answered})) as opened:
            yield opened


def api(client: Client, path: str, status: int = 200) -> Any:
    """What an operation answers."""
    answer = client.get(f"/api/v1{path}")
    assert answer.status_code == status, answer.text
    return answer.json()


def html(client: Client, path: str) -> str:
    """What a page shows."""
    answer = client.get(path, headers=HTML)
    assert answer.status_code == 200, answer.text
    return answer.text


def test_an_auditor_proves_an_entry_from_the_answers_alone(client: Client, key: LogKey, append: Append, checkpoint: Sign) -> None:
    append(300)
    checkpoint()
    found = api(client, "/ledger/entries/123")
    leaf, path = base64.b64decode(found["leaf"]), [base64.b64decode(step) for step in found["proof"]["path"]]
    signed = opened_checkpoint(found["checkpoint"]["note"], key.verifier)
    verify_inclusion(leaf_hash(leaf), 123, signed.size, path, signed.root)
    assert found["entry"]["data"] == {"number": 123}


def test_an_auditor_proves_that_the_log_only_grew(client: Client, key: LogKey, append: Append, checkpoint: Sign) -> None:
    append(100)
    first = checkpoint()
    append(200)
    checkpoint()
    latest = opened_checkpoint(api(client, "/ledger/checkpoint")["note"], key.verifier)
    proof = api(client, "/ledger/consistency?first=100")
    verify_consistency(100, latest.size, [base64.b64decode(step) for step in proof["path"]], first.root, latest.root)
    assert api(client, "/ledger/checkpoints/100")["note"] == first.note
    assert api(client, "/ledger/entries/7/proof?size=100")["size"] == 100


def test_entries_are_listed_page_by_page_and_by_type_and_subject(client: Client, append: Append) -> None:
    append(120)
    seen: list[int] = []
    page: dict[str, Any] = {"before": 10**30}
    while page["before"] is not None:
        page = api(client, f"/ledger/entries?limit=50&before={page['before']}")
        seen += [found["index"] for found in page["entries"]]
    assert seen == list(range(119, -1, -1))
    assert [one["index"] for one in api(client, "/ledger/entries?subject=thing:3&limit=2")["entries"]] == [115, 108]
    assert api(client, "/ledger/entries?type=tests.other")["entries"] == []


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/ledger/entries/99", 404, "no_such_entry"),
        ("/ledger/entries/-1", 404, "no_such_entry"),
        (f"/ledger/entries/{10**30}", 404, "no_such_entry"),
        (f"/ledger/checkpoints/{10**30}", 404, "no_such_checkpoint"),
        (f"/ledger/consistency?first=1&second={10**30}", 503, "entry_not_included"),
        (f"/ledger/entries/{10**30}/proof?size=2", 503, "entry_not_included"),
        ("/ledger/entries/x", 400, "invalid_input"),
        ("/ledger/entries?limit=0", 400, "invalid_input"),
        ("/ledger/checkpoint", 404, "no_such_checkpoint"),
        ("/ledger/checkpoints/3", 404, "no_such_checkpoint"),
        ("/ledger/consistency?first=1&second=50", 503, "entry_not_included"),
        ("/ledger/consistency?first=2&second=1", 400, "proof_invalid"),
        ("/ledger/consistency?first=-2&second=1", 400, "proof_invalid"),
        ("/ledger/entries/1/proof?size=9", 503, "entry_not_included"),
        ("/ledger/entries/2/proof?size=2", 503, "entry_not_included"),
    ],
)
def test_what_is_not_there_is_said_with_a_code(client: Client, append: Append, path: str, status: int, code: str) -> None:
    append(3)
    assert api(client, path, status)["error"]["code"] == code


def test_verification_over_http_takes_the_callers_checkpoints(client: Client, append: Append, checkpoint: Sign) -> None:
    append(10)
    kept = checkpoint()
    known = {"known": [kept.note]}
    assert client.post("/api/v1/ledger/verification", json=known).json()["is_sound"]
    wrong = client.post("/api/v1/ledger/verification", json={"known": [kept.note.replace("10\n", "11\n", 1)]}).json()
    assert [finding["code"] for finding in wrong["findings"]] == ["known_checkpoint_not_signed"]


def test_the_log_page_says_how_much_is_signed(client: Client, database: Database, key: LogKey, append: Append, checkpoint: Sign) -> None:
    assert "Nothing is recorded yet" in html(client, "/ledger")
    append(60)
    assert "Not signed yet" in html(client, "/ledger")
    checkpoint()
    assert "Signed to the last entry" in html(client, "/ledger")
    append(5)
    database.write(lambda tx: record(tx, entry()))
    shown = html(client, "/ledger")
    assert "5 entries to be signed" in shown
    assert key.verifier.text.replace("+", "&#43;") in shown or key.verifier.text in shown
    assert 'href="/ledger?before=15"' in shown and "Entries 15 to 64" in shown
    facts = client.get("/ledger", headers={"accept": "application/json"}).json()["facts"]
    assert (facts["size"], facts["pending"], facts["checkpoint"]["size"]) == (65, 1, 60)


def test_the_log_page_filters_and_keeps_the_filter_on_the_next_page(client: Client, append: Append) -> None:
    append(400)
    shown = html(client, "/ledger?subject=thing:1&type=tests.counted")
    assert "type=tests.counted&amp;subject=thing%3A1&amp;before=50" in shown
    assert "No entry fits" in html(client, "/ledger?subject=thing:nothing")


def test_actors_have_their_names_and_an_entrys_page_keeps_the_id_that_the_log_holds(client: Client, append: Append) -> None:
    append(1)
    actor = api(client, "/ledger/entries")["entries"][0]["actor"]
    assert f">Name of {actor}<" in html(client, "/ledger")
    shown = html(client, "/ledger/entries/0")
    assert f"by <strong>Name of {actor}</strong>" in shown
    assert f">{actor}<" in shown


def test_an_entrys_page_shows_leaf_proof_and_neighbours(client: Client, append: Append, checkpoint: Sign) -> None:
    append(300)
    signed = checkpoint()
    shown = html(client, "/ledger/entries/299")
    context = client.get("/ledger/entries/299", headers={"accept": "application/json"}).json()
    hashed = bytes.fromhex(context["leaf_hash"])
    path = [bytes.fromhex(step["hash"]) for step in context["steps"]]
    verify_inclusion(hashed, 299, 300, path, signed.root)
    assert all(step["hash"] in shown for step in context["steps"])
    assert "Proven" in shown and 'href="/ledger/entries/298"' in shown and 'href="/ledger/entries/300"' not in shown
    joined = hashed
    for step in context["steps"]:
        other = bytes.fromhex(step["hash"])
        joined = hashlib.sha256(b"\x01" + (other + joined if step["side"] == "left" else joined + other)).digest()
    assert joined == signed.root


def test_pages_never_show_personal_data_and_escape_everything_else(client: Client, database: Database) -> None:
    script = "<script>alert(1)</script>"
    new = NewEntry(type="tests.hostile", subject=script, actor=script, data={"note": script}, personal={"email": "ada@example.com"})
    database.write(lambda tx: record(tx, new))
    sequence_pending(database, HOLDER)
    for path in ("/ledger", "/ledger/entries/0"):
        shown = html(client, path)
        assert script not in shown and "&lt;script&gt;" in shown
        assert "ada@example.com" not in shown
    assert "kept beside the log" in html(client, "/ledger/entries/0")


def test_the_verification_page_tells_a_sound_log_from_a_changed_one(
    client: Client, database: Database, append: Append, checkpoint: Sign
) -> None:
    append(20)
    checkpoint()
    assert "Sound" in html(client, "/ledger/verification")
    database.write(lambda tx: tx.connection.execute(sa.delete(store.ENTRIES).where(store.ENTRIES.c.entry_index == 4)))
    shown = html(client, "/ledger/verification")
    assert "The log was changed" in shown and "entry 4 is gone" in shown


def test_entries_of_other_teams_are_missing(client: Client, database: Database) -> None:
    for team in ("red", "blue"):
        database.write(lambda tx, team=team: record(tx, entry(subject=f"model:of-{team}", team_id=team)))  # type: ignore[misc]
    sequence_pending(database, HOLDER)
    red = {"x-team": "red"}
    listed = client.get("/api/v1/ledger/entries", headers=red).json()["entries"]
    assert [one["subject"] for one in listed] == ["model:of-red"]
    page = client.get("/ledger", headers=HTML | red).text
    assert ("model:of-red" in page, "model:of-blue" in page) == (True, False)
    blue = next(one["index"] for one in client.get("/api/v1/ledger/entries").json()["entries"] if one["team_id"] == "blue")
    for path in (f"/api/v1/ledger/entries/{blue}", f"/ledger/entries/{blue}"):
        assert (client.get(path, headers=red).status_code, client.get(path).status_code) == (404, 200)
    missing = client.get("/api/v1/ledger/entries/99", headers=red).json()["error"]
    found = client.get(f"/api/v1/ledger/entries/{blue}", headers=red).json()["error"]
    assert missing["message"].replace("99", str(blue)) == found["message"]
