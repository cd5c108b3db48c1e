"""What happens in the registry is told to webhooks: signed, at least once, to nobody else, and never to what lies behind the server."""

import base64
import contextlib
import hashlib
import hmac
import ipaddress
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from modelyard.access.domain import NotAllowed
from modelyard.core.clock import FixedClock
from modelyard.core.digests import digest_bytes
from modelyard.core.errors import InvalidInput
from modelyard.ledger.service import list_events, sequence_pending
from modelyard.registry import posting, service
from modelyard.registry.domain import AliasName, Format, ModelName, NewModel, NewVersion, StoredArtifact
from modelyard.registry.posting import PostFailed, PostRefused, is_public, post
from modelyard.registry.service.artifacts import note_artifact
from modelyard.registry.webhooks import ENTITY_ACTIONS, HookKey, HookStatus, NewWebhook, NoSuchWebhook, Webhook
from modelyard.storage.database import Database
from tests.tracking.conftest import READER, STRANGER, WRITER

HOOKS = service.Hooks(key=HookKey(Fernet.generate_key()), allows_private=True)
EVERYTHING = tuple(f"{entity}.{action}" for entity, actions in ENTITY_ACTIONS.items() for action in actions)
KEPT = StoredArtifact(digest=digest_bytes(b"artifact"), format=Format.LIGHTGBM, size_bytes=1)
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


class Receiver:
    """An HTTP server on loopback that keeps what it is sent, and answers with each of `answers` in turn, the last one for good."""

    def __init__(self) -> None:
        self.got: list[tuple[str, dict[str, str], str]] = []
        self.answers: list[tuple[int, dict[str, str]]] = [(200, {})]
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                receiver.got.append((self.path, dict(self.headers), body))
                status, headers = receiver.answers.pop(0) if len(receiver.answers) > 1 else receiver.answers[0]
                self.send_response(status)
                for header in {**headers, "Content-Length": "2"}.items():
                    self.send_header(*header)
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *arguments: Any) -> None: ...

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    @property
    def told(self) -> list[tuple[str, Any]]:
        """The events that came in, each with its data."""
        found = [json.loads(body) for _, _, body in self.got]
        return [(f"{one['entity']}.{one['action']}", one["data"]) for one in found]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver that listens."""
    made = Receiver()
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


Hooked = Callable[..., Webhook]


@pytest.fixture
def hooked(database: Database, receiver: Receiver) -> Hooked:
    """Makes a webhook of the writer's team that leads to the receiver."""

    def make(events: tuple[str, ...] = EVERYTHING, secret: str | None = None, by: Any = WRITER, **more: Any) -> Webhook:
        body = NewWebhook(name="hook", url=f"{receiver.url}/in?k=1", events=events, secret=secret, **more)
        return database.write(lambda tx: service.create_webhook(tx, by, body, HOOKS))

    return make


def delivered(database: Database, hooks: service.Hooks = HOOKS) -> int:
    """Has a worker look once; how much it took up, after that was sent."""
    courier = service.Courier(database, hooks)
    taken = courier.tick()
    courier.close()
    return taken


def made(database: Database, name: str = "late") -> ModelName:
    """A model with one version."""
    database.write(lambda tx: note_artifact(tx, KEPT))
    database.write(lambda tx: service.create_model(tx, WRITER, NewModel(name=ModelName(name), purpose="Warn.")))
    database.write(lambda tx: service.register_version(tx, WRITER, ModelName(name), NewVersion(artifact=KEPT.digest, run="r1")))
    return ModelName(name)


def test_each_event_is_told_once_as_mlflow_tells_it(database: Database, receiver: Receiver, hooked: Hooked) -> None:
    hooked()
    model = made(database)
    database.write(lambda tx: service.set_tags(tx, WRITER, model, 1, {"k": "v"}))
    database.write(lambda tx: service.set_tags(tx, WRITER, model, 0, {"not": "told"}))
    database.write(lambda tx: service.delete_tag(tx, WRITER, model, 1, "k"))
    database.write(lambda tx: service.set_alias(tx, WRITER, model, AliasName("champion"), 1))
    database.write(lambda tx: service.delete_alias(tx, WRITER, model, AliasName("champion")))
    while delivered(database):
        pass
    source = f"modelyard-artifact:{KEPT.digest}"
    version: dict[str, Any] = {"name": "late", "version": "1", "source": source, "run_id": "r1", "tags": {}, "description": None}
    assert sorted(receiver.told, key=lambda one: EVERYTHING.index(one[0])) == [
        ("registered_model.created", {"name": "late", "tags": {}, "description": "Warn."}),
        ("model_version.created", version),
        ("model_version_tag.deleted", {"name": "late", "version": "1", "key": "k"}),
        ("model_version_tag.set", {"name": "late", "version": "1", "key": "k", "value": "v"}),
        ("model_version_alias.created", {"name": "late", "alias": "champion", "version": "1"}),
        ("model_version_alias.deleted", {"name": "late", "alias": "champion"}),
    ]
    assert receiver.got[0][0] == "/in?k=1"


@on_sqlite
def test_what_is_told_is_signed_as_mlflow_signs(database: Database, receiver: Receiver, hooked: Hooked) -> None:
    hooked(("registered_model.created",), secret="s3cret ü")
    made(database)
    delivered(database)
    ((_, headers, body),) = receiver.got
    words = f"{headers['X-MLflow-Delivery-Id']}.{headers['X-MLflow-Timestamp']}.{body}"
    expected = base64.b64encode(hmac.new("s3cret ü".encode(), words.encode(), hashlib.sha256).digest()).decode()
    assert headers["X-MLflow-Signature"] == f"v1,{expected}"


@on_sqlite
def test_only_a_teams_own_active_webhooks_that_ask_are_told(database: Database, receiver: Receiver, hooked: Hooked) -> None:
    hooked(by=STRANGER)
    hooked(status=HookStatus.DISABLED)
    hooked(("model_version_tag.set",))
    gone = hooked()
    off = hooked()
    made(database)
    database.write(lambda tx: service.delete_webhook(tx, WRITER, gone.id))
    database.write(lambda tx: service.update_webhook(tx, WRITER, off.id, NewWebhook(status=HookStatus.DISABLED), HOOKS))
    while delivered(database):
        pass
    assert receiver.got == []


@on_sqlite
def test_nothing_is_told_of_a_change_that_was_not_made(database: Database, receiver: Receiver, hooked: Hooked) -> None:
    hooked()

    def broken(tx: Any) -> None:
        service.create_model(tx, WRITER, NewModel(name=ModelName("late")))
        raise KeyError("the change fails after all")

    with pytest.raises(KeyError):
        database.write(broken)
    assert delivered(database) == 0


@on_sqlite
def test_it_is_tried_again_later_by_whoever_looks_then(database: Database, receiver: Receiver, hooked: Hooked, clock: FixedClock) -> None:
    hooked(("registered_model.created",))
    made(database)
    receiver.answers = [(503, {}), (429, {"Retry-After": "600"}), (200, {})]
    assert (delivered(database), delivered(database)) == (1, 0)
    clock.advance(5)
    assert delivered(database) == 1
    clock.advance(500)
    assert delivered(database) == 0
    clock.advance(300)
    assert (delivered(database), delivered(database)) == (1, 0)
    assert len({headers["X-MLflow-Delivery-Id"] for _, headers, _ in receiver.got}) == 1
    assert [len(receiver.got), len({body for _, _, body in receiver.got})] == [3, 1]
    clock.advance(100_000)
    assert delivered(database) == 0


@on_sqlite
@pytest.mark.parametrize(("answer", "attempts"), [((404, {}), 1), ((302, {"Location": "/elsewhere"}), 1), ((500, {}), 12)])
def test_it_is_given_up_at_last(
    database: Database, receiver: Receiver, hooked: Hooked, clock: FixedClock, answer: Any, attempts: int
) -> None:
    hooked(("registered_model.created",))
    made(database)
    receiver.answers = [answer]
    for _ in range(20):
        delivered(database)
        clock.advance(10_000)
    assert [path for path, _, _ in receiver.got] == ["/in?k=1"] * attempts


@on_sqlite
def test_of_two_workers_one_sends_and_a_dead_one_s_work_is_taken_up(
    database: Database, receiver: Receiver, hooked: Hooked, clock: FixedClock
) -> None:
    hooked(("registered_model.created",))
    made(database)
    one, other = service.Courier(database, HOOKS), service.Courier(database, HOOKS)
    one._pool.shutdown()
    with pytest.raises(RuntimeError):
        one.tick()
    assert other.tick() == 0
    clock.advance(61)
    assert other.tick() == 1
    other.close()
    assert len(receiver.got) == 1


@on_sqlite
def test_a_secret_is_sealed_and_an_address_stays_out_of_the_ledger(database: Database, hooked: Hooked) -> None:
    hooked(secret="s3cret")
    sequence_pending(database, "test")
    with database.read() as snapshot:
        sealed = snapshot.connection.exec_driver_sql("SELECT secret FROM registry_webhook").scalar_one()
        (entry,) = [one for one in list_events(snapshot, -1, None, 100) if one.type == "registry.webhook_set"]
    assert b"s3cret" not in sealed and HOOKS.key.opened(sealed) == "s3cret"
    assert entry.data["to"] == "http://127.0.0.1"
    assert "k=1" not in str(entry.data) and "s3cret" not in str(entry.data)


@on_sqlite
def test_viewers_and_other_teams_neither_see_nor_change_webhooks(database: Database, hooked: Hooked) -> None:
    hook = hooked()
    with database.read() as snapshot:
        for principal, error in ((READER, NotAllowed), (STRANGER, NoSuchWebhook)):
            with pytest.raises(error):
                service.get_webhook(snapshot, principal, hook.id)
            assert service.list_webhooks(snapshot, principal, 0).webhooks == []
        assert [one.id for one in service.list_webhooks(snapshot, WRITER, 0).webhooks] == [hook.id]
    for principal, error in ((READER, NotAllowed), (STRANGER, NoSuchWebhook)):
        with pytest.raises(error):
            database.write(lambda tx, who=principal: service.delete_webhook(tx, who, hook.id))  # type: ignore[misc] # bound in the loop


@on_sqlite
def test_a_team_has_only_so_many_webhooks(database: Database, hooked: Hooked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service.webhooks, "MOST_OF_A_TEAM", 2)
    hooked(by=STRANGER)
    kept = [hooked(), hooked()]
    with pytest.raises(InvalidInput, match="at most 2 webhooks"):
        hooked()
    database.write(lambda tx: service.delete_webhook(tx, WRITER, kept[0].id))
    hooked()


PRIVATE = [
    "127.0.0.1", "127.8.8.8", "[::1]", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "[fd00:ec2::254]", "[fe80::1]",
    "0.0.0.0", "[::]",  # noqa: S104 - never bound to
    "100.64.0.1", "224.0.0.1", "[::ffff:127.0.0.1]", "[::ffff:169.254.169.254]", "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]", "[fec0::1]", "168.63.129.16", "localhost", "x.localhost", "255.255.255.255",
]  # fmt: skip


@pytest.mark.parametrize("host", PRIVATE)
def test_no_private_address_is_reached(host: str) -> None:
    with pytest.raises((PostRefused, PostFailed, InvalidInput)) as caught:
        post(f"http://{host}:9/x", b"{}", {}, allows_private=False)
    assert "did not answer" not in str(caught.value)


@on_sqlite
@pytest.mark.parametrize("host", PRIVATE)
def test_no_webhook_is_made_that_leads_to_a_private_address(database: Database, host: str) -> None:
    body = NewWebhook(name="hook", url=f"https://{host}/x", events=EVERYTHING)
    closed = service.Hooks(key=HOOKS.key)
    with pytest.raises(InvalidInput, match="non-public"):
        database.write(lambda tx: service.create_webhook(tx, WRITER, body, closed))


@on_sqlite
def test_a_webhook_made_while_it_was_allowed_is_not_served_after(database: Database, receiver: Receiver, hooked: Hooked) -> None:
    hooked(("registered_model.created",))
    made(database)
    assert delivered(database, service.Hooks(key=HOOKS.key)) == 1
    assert (delivered(database), receiver.got) == (0, [])


@pytest.mark.parametrize("found", [["127.0.0.1"], ["93.184.216.34", "127.0.0.1"], ["::1"], ["93.184.216.34", "::ffff:10.0.0.1"]])
def test_a_name_must_lead_to_public_addresses_alone(monkeypatch: pytest.MonkeyPatch, found: list[str]) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, port, **_: [(0, 0, 0, "", (one, port)) for one in found])
    with pytest.raises(PostRefused):
        post("https://hook.example/x", b"{}", {}, allows_private=False)


def test_a_name_is_looked_up_once_and_what_was_checked_is_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_up: list[str] = []
    connected: list[tuple[str, int]] = []

    def rebinding(host: str, port: int, **_: Any) -> Any:
        looked_up.append(host)
        return [(0, 0, 0, "", ("93.184.216.34" if len(looked_up) == 1 else "127.0.0.1", port))]

    def connect(address: tuple[str, int], **_: Any) -> Any:
        connected.append(address)
        raise OSError("tests have no network")

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(PostFailed):
        post("https://hook.example/x", b"{}", {}, allows_private=False)
    assert (looked_up, connected) == (["hook.example"], [("93.184.216.34", 443)])


DAYS = (datetime(2020, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))


def contexts(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context on loopback with a certificate of its own, and a client's that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hook")])
    alternative = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    signed = x509.CertificateBuilder(name, name, key.public_key(), 1, *DAYS).add_extension(alternative, critical=False)
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "pem").write_bytes(secret + signed.sign(key, hashes.SHA256()).public_bytes(pem))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "pem")
    return server, ssl.create_default_context(cafile=str(folder / "pem"))


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_an_answer_that_comes_byte_by_byte_is_broken_off(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, scheme: str) -> None:
    server, client = contexts(tmp_path)
    monkeypatch.setattr(posting, "TIMEOUT_S", 0.3)
    monkeypatch.setattr(ssl, "create_default_context", lambda: client)
    enough, sent, never = 300, [b"HTTP/1.1 "], threading.Event()

    def drip(listener: socket.socket) -> None:
        with listener.accept()[0] as raw, contextlib.suppress(OSError):
            connection = server.wrap_socket(raw, server_side=True) if scheme == "https" else raw
            with connection:
                while len(sent) < enough and not never.wait(0.01):
                    connection.sendall(sent[-1])
                    sent.append(b"1")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        dripping = threading.Thread(target=drip, args=[listener])
        dripping.start()
        with pytest.raises(PostFailed):
            post(f"{scheme}://127.0.0.1:{listener.getsockname()[1]}/", b"{}", {}, allows_private=True)
        dripping.join()
    assert len(sent) < enough


def test_the_next_address_is_tried_where_one_takes_no_connection(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    port = receiver.server.server_port
    found = [ipaddress.ip_address(one) for one in ("127.0.0.2", "127.0.0.1")]
    monkeypatch.setattr(posting, "_looked_up", lambda host, port: found)
    assert post(f"http://hook.example:{port}/x", b"{}", {}, allows_private=True).status == 200


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://x/", "gopher://x/", "//x/", "https://", "http://[x", "http://x:99999/", " "])
def test_only_http_is_spoken(url: str) -> None:
    with pytest.raises(InvalidInput):
        post(url, b"", {}, allows_private=True)


def test_public_addresses_are_public() -> None:
    assert all(is_public(ipaddress.ip_address(one)) for one in ("93.184.216.34", "2606:2800:220:1::1", "::ffff:8.8.8.8"))
