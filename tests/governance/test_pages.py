"""Governance's pages over a control plane that really listens, on both databases, with a version that was shipped for real."""

import io
import re
import tarfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import msgspec
import pytest

from modelyard.access.domain import DEFAULT_TEAM, SYSTEM, Role
from modelyard.access.rules import COOKIE
from modelyard.access.service import choose_password, first_start, invite_user
from modelyard.core.digests import digest_bytes
from modelyard.core.settings import Settings, read_settings
from modelyard.governance.domain import DossierId, Trust
from modelyard.governance.service import give_trust
from modelyard.governance.verification import verify_bundle
from modelyard.ledger.service import sequence_pending, sign_checkpoint
from modelyard.registry.domain import ModelName, NewModel, NewVersion
from modelyard.registry.service import ensure_model, get_version, register_version
from modelyard.server.app import control_plane
from modelyard.server.installation import Installation, opened
from modelyard.server.listening import server
from modelyard.server.sockets import bound_socket
from tests.conftest import fresh_postgresql
from tests.governance.shipping import ADA, LATE, declare, ship, write_project
from tests.servers import PostgreSQL

# Each worker would let a model through of its own.
pytestmark = pytest.mark.xdist_group("office")

HTML, JSON = {"Accept": "text/html"}, {"Accept": "application/json"}
PASSWORD = "four plain words suffice"
VERSION = "/models/late/versions/1"
ROLES = (Role.VIEWER, Role.CONTRIBUTOR, Role.AUDITOR)


class Office(msgspec.Struct, frozen=True, kw_only=True):
    """A control plane over an installation, with a client for each role and one for nobody."""

    installation: Installation
    clients: dict[Role | None, httpx.Client]
    trust: Trust

    def html(self, path: str, role: Role = Role.AUDITOR) -> str:
        """What a page shows."""
        answer = self.clients[role].get(path, headers=HTML)
        assert answer.status_code == 200, f"{path}: {answer.text}"
        return answer.text


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def office(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """A control plane in which `late` was let through, with no dossier yet; `crews` is declared, and `foreign` nobody delivered."""
    if request.param == "sqlite":
        yield from _office(tmp_path_factory.mktemp("office"), "")
        return
    found: PostgreSQL = request.getfixturevalue("postgresql_server")
    for url in fresh_postgresql(found, "template0"):
        yield from _office(tmp_path_factory.mktemp("office"), url)


def _office(folder: Path, url: str) -> Iterator[Office]:
    write_project(folder)
    bound = bound_socket("127.0.0.1", 0)
    values = {"data": str(folder / ".yard"), "server.port": bound.getsockname()[1], **({"storage.database": url} if url else {})}
    settings: Settings = read_settings(None, {}, values)
    with opened(settings) as installation, ThreadPoolExecutor(8) as pool:
        cookies = _sessions(installation)
        declare(installation, folder)
        ship(installation, LATE)
        _register_foreign(installation)
        plane = control_plane(installation, pool)
        running = server(plane.app, plane.close)
        thread = threading.Thread(target=running.run, kwargs={"sockets": [bound]})
        thread.start()
        clients = {role: _client(settings.server.port, cookies.get(role)) for role in (None, *ROLES)}
        clients[None].get("/readyz")
        yield Office(installation=installation, clients=clients, trust=_trust(installation))
        for client in clients.values():
            client.close()
        running.should_exit = True
        thread.join()


def _client(port: int, cookie: str | None) -> httpx.Client:
    url = f"http://127.0.0.1:{port}"
    cookies = {} if cookie is None else {COOKIE: cookie}
    transport = httpx.HTTPTransport(retries=20)
    return httpx.Client(base_url=url, headers={"Origin": url}, cookies=cookies, transport=transport, trust_env=False, timeout=60)


def _sessions(installation: Installation) -> dict[Role | None, str]:
    """A person for each role, logged in."""
    database = installation.database
    database.write(first_start)
    found: dict[Role | None, str] = {}
    for role in ROLES:
        link = database.write(lambda tx, role=role: invite_user(tx, SYSTEM, f"a-{role}", DEFAULT_TEAM, role))  # type: ignore[misc]  # a bound default
        found[role] = choose_password(database, link.path.rpartition("/")[2], PASSWORD, "127.0.0.1").cookie
    return found


def _register_foreign(installation: Installation) -> None:
    with installation.database.read() as snapshot:
        artifact = get_version(snapshot, LATE, 1).artifact
    name = ModelName("foreign")
    installation.database.write(lambda tx: ensure_model(tx, ADA, NewModel(name=name)))
    installation.database.write(lambda tx: register_version(tx, ADA, name, NewVersion(artifact=artifact)))


def _trust(installation: Installation) -> Trust:
    sequence_pending(installation.database, "tests")
    installation.database.write(lambda tx: sign_checkpoint(tx, installation.log_key))
    return installation.database.write(lambda tx: give_trust(tx, ADA, installation.log_key, installation.role_keys))


@pytest.fixture(scope="module")
def dossier(office: Office) -> DossierId:
    """The id of a dossier of `late`, made by the form of the page, after what the page says without one was looked at."""
    before, read_only = office.html("/governance", Role.CONTRIBUTOR), office.html("/governance")
    assert "yard dossier late/1" in before
    assert "yard dossier late/1" in read_only
    assert f'action="{VERSION}/dossiers"' in before
    assert f'action="{VERSION}/dossiers"' not in read_only
    assert "None made yet" in office.html(VERSION)
    return made(office)


def made(office: Office) -> DossierId:
    """The id of a dossier of `late`, made by the form."""
    csrf = re.findall(r'name="csrf" value="([^"]+)"', office.html("/governance", Role.CONTRIBUTOR))[0]
    answer = office.clients[Role.CONTRIBUTOR].post(f"{VERSION}/dossiers", data={"csrf": csrf}, headers=HTML)
    assert "/governance/dossiers/dos_" in answer.headers["location"]
    return DossierId(answer.headers["location"].rpartition("/")[2])


def pages(dossier: DossierId) -> tuple[str, ...]:
    """Every page of governance, and those of others on which it has a say."""
    itself = f"/governance/dossiers/{dossier}"
    shown = tuple(f"{itself}?show={one}" for one in ("met", "waiting", "missing", "not_applicable"))
    return ("/governance", "/governance?show=all&model=late", "/governance?show=without", itself, *shown, f"{VERSION}/card", VERSION)


def test_the_page_over_all_models_tells_the_counts_and_what_was_never_let_through(office: Office, dossier: DossierId) -> None:
    page = office.html("/governance")
    found = office.clients[Role.AUDITOR].get(f"/api/v1/dossiers/{dossier}").json()
    assert f'href="/governance/dossiers/{dossier}?show=met">{found["met"]}<' in page
    assert f'href="/governance/dossiers/{dossier}?show=waiting">{found["waiting"]}<' in page
    assert 'href="/models/crews">crews</a>' in page.partition("No version was let through yet of")[2]
    assert "None is without" in office.html("/governance?show=without")


def test_a_dossiers_page_has_every_requirement_once_and_the_filter_only_those_asked_for(office: Office, dossier: DossierId) -> None:
    itself = f"/governance/dossiers/{dossier}"
    found = office.clients[Role.AUDITOR].get(f"/api/v1/dossiers/{dossier}").json()
    listed = re.findall(r'<li id="([^"]+)">', office.html(itself))
    assert len(listed) == len(set(listed)) == 202
    for show in ("met", "waiting", "missing", "not_applicable"):
        assert len(re.findall(r'<li id="[^"]+">', office.html(f"{itself}?show={show}"))) == found[show]
    assert office.clients[Role.AUDITOR].get(f"{itself}?show=nothing", headers=HTML).status_code == 400


def test_what_the_page_hands_out_verifies_by_the_commands_that_it_names(office: Office, dossier: DossierId, tmp_path: Path) -> None:
    page, client = office.html(f"/governance/dossiers/{dossier}"), office.clients[Role.AUDITOR]
    bundle, pdf = client.get(f"/api/v1/dossiers/{dossier}/bundle"), client.get(f"/api/v1/dossiers/{dossier}/pdf")
    name = re.findall(r'filename="([^"]+)"', bundle.headers["content-disposition"])[0]
    for command in (f"tar -xf {name} -C late-1", "yard verify late-1 --trust trust.json", "yard trust --out trust.json"):
        assert command in page
    with tarfile.open(fileobj=io.BytesIO(bundle.content)) as archive:
        archive.extractall(tmp_path, filter="data")
    assert [one.name for one in verify_bundle(tmp_path, office.trust) if not one.passed] == []
    assert (tmp_path / "dossier.pdf").read_bytes() == pdf.content
    assert digest_bytes(bundle.content) in page
    assert (tmp_path / "log/checkpoint").read_text().splitlines()[2].replace("+", "&#43;") in page.replace("+", "&#43;")


def test_a_card_says_of_each_line_where_it_was_read_and_what_waits_for_a_person(office: Office, dossier: DossierId) -> None:
    page, twin = office.html(f"{VERSION}/card"), office.clients[Role.AUDITOR].get(f"{VERSION}/card", headers=JSON).json()
    sections = twin["sections"]
    assert [one["section"]["id"] for one in sections] == [f"MC-{number}" for number in range(1, 10)]
    facts = [fact for one in sections for fact in one["facts"]]
    assert len(facts) == page.count('<dd class="source">') > 15
    assert all(fact["source"]["href"].startswith("/") for fact in facts)
    assert "Warn of late flights." in page
    assert "Licence and contact: Not written yet" in page
    assert f"/governance/dossiers/{dossier}" in page


def test_a_versions_page_has_card_dossiers_and_attestations_each_with_its_ledger_entry(office: Office, dossier: DossierId) -> None:
    sequence_pending(office.installation.database, "tests")
    page = office.html(VERSION)
    assert f'href="/governance/dossiers/{dossier}"' in page
    assert f'href="{VERSION}/card"' in page
    attested = page.partition('id="attested"')[2].partition("</section>")[0]
    assert len(re.findall(r'href="/ledger/entries/\d+"', attested)) == 5
    foreign = office.html("/models/foreign/versions/1")
    assert "Nothing can be attested of foreign v1" in foreign
    assert "/models/foreign/versions/1/card" not in foreign


def test_an_auditor_reads_all_of_it_and_every_link_leads_somewhere(office: Office, dossier: DossierId) -> None:
    seen: dict[str, int] = {}
    for page in pages(dossier):
        main = office.html(page).partition("<main")[2]
        for href in re.findall(r'href="(/[^"#]*)', main):
            path = href.replace("&amp;", "&")
            if path not in seen:
                seen[path] = office.clients[Role.AUDITOR].get(path, headers=HTML).status_code
    assert {path: status for path, status in seen.items() if status != 200} == {}
    assert len(seen) > 25


def test_every_page_has_its_twin_as_json_and_nobody_is_sent_to_log_in(office: Office, dossier: DossierId) -> None:
    for page in pages(dossier):
        assert isinstance(office.clients[Role.VIEWER].get(page, headers=JSON).json(), dict)
        nobody = office.clients[None].get(page, headers=HTML)
        assert (nobody.status_code, nobody.headers["location"].partition("?")[0]) == (303, "/login")


def test_who_may_not_write_makes_none(office: Office) -> None:
    for role in (Role.VIEWER, Role.AUDITOR):
        assert office.clients[role].post(f"{VERSION}/dossiers", data={"csrf": ""}, headers=HTML).status_code == 403


def test_a_second_dossier_is_told_on_the_page_of_the_first(office: Office, dossier: DossierId) -> None:
    client = office.clients[Role.CONTRIBUTOR]
    newer = made(office)
    assert f'href="/governance/dossiers/{newer}"' in office.html(f"/governance/dossiers/{dossier}")
    assert "There is a newer one" not in office.html(f"/governance/dossiers/{newer}")
    assert f'href="/governance/dossiers/{newer}"' in office.html("/governance")
    assert client.get("/governance/dossiers/dos_nothing", headers=HTML).status_code == 404
