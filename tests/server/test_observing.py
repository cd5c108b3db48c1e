"""What operators see: log lines that name the request or the job, metrics, and real traces that arrive at a collector."""

import asyncio
import json
import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from modelyard.access.domain import Role
from modelyard.core.clock import SystemClock
from modelyard.core.settings import Settings
from modelyard.core.underway import JOB_ID, REQUEST_ID
from modelyard.server.installation import opened
from modelyard.server.leases import Heart
from modelyard.server.logs import JsonLines
from modelyard.server.worker import work_once
from modelyard.serving.gateway.link import HttpLink
from modelyard.serving.gateway.loading import ArtifactLoader
from modelyard.serving.gateway.run import GatewayOptions, gateway_app
from modelyard.storage.blobs import Blobs
from modelyard.storage.database import Database
from modelyard.storage.online import LmdbStore
from tests.delivery.test_machine import started
from tests.live import Live
from tests.server.conftest import Running
from tests.serving.world import ROW, until

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = {"traceparent": f"00-{TRACE}-{CALLER}-01"}


class Collector:
    """An OTLP receiver that keeps what arrives: spans by the name of their service."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, Span]] = []
        kept = self.spans

        class Receiver(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.path == "/v1/traces":
                    for group in ExportTraceServiceRequest.FromString(body).resource_spans:
                        name = next(one.value.string_value for one in group.resource.attributes if one.key == "service.name")
                        kept.extend((name, span) for scope in group.scope_spans for span in scope.spans)
                self.send_response(200 if self.path == "/v1/traces" else 404)
                self.end_headers()

            def log_message(self, *said: object) -> None:
                """Says nothing among the tests' own output."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def of(self, service: str) -> list[Span]:
        """The spans of one service."""
        return [span for name, span in self.spans if name == service]


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    thread = threading.Thread(target=made.server.serve_forever)
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


def test_server_gateway_and_worker_send_their_spans(collector: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELYARD_TELEMETRY__ENDPOINT", collector.url)
    live = Live(tmp_path)
    try:
        live.start("server", "gateway", "worker")
        live.serve(1)
        given = {"authorization": f"Bearer {live.token}", **PARENT}
        httpx.get(f"{live.url}/api/v1/models/late", headers=given, trust_env=False).raise_for_status()
        httpx.post(f"{live.gateway_url}/predict/late", json={"rows": [ROW]}, headers=given, trust_env=False).raise_for_status()
        delivery = started(live.database)
        until(lambda: "broke down" in (live.data / "worker.log").read_text())
    finally:
        live.close()
    for service, name in (("modelyard-server", "GET /api/v1/models/late"), ("modelyard-gateway", "POST /predict/late")):
        continued = next(span for span in collector.of(service) if span.trace_id.hex() == TRACE)
        assert (continued.name, continued.parent_span_id.hex(), continued.kind) == (name, CALLER, Span.SPAN_KIND_SERVER)
        assert ("http.response.status_code", 200) in [(one.key, one.value.int_value) for one in continued.attributes]
    stage = next(span for span in collector.of("modelyard-worker") if span.name == "snapshot")
    assert f"{delivery.id}/snapshot" in [one.value.string_value for one in stage.attributes]
    assert "ledger" in {span.name for span in collector.of("modelyard-worker")}


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """What is logged meanwhile, in the form of the roles' logs."""
    caplog.handler.setFormatter(JsonLines("tested"))
    caplog.set_level(logging.INFO)
    return caplog


def told(lines: pytest.LogCaptureFixture) -> list[dict[str, str]]:
    return [json.loads(line) for line in lines.text.splitlines()]


def test_a_request_that_fails_at_the_gateway_is_named_in_its_log(tmp_path: Path, lines: pytest.LogCaptureFixture) -> None:
    blobs, online = Blobs.open(f"file://{tmp_path}/blobs"), LmdbStore.open(tmp_path / "online")
    options = GatewayOptions(name="g1", folder=tmp_path / "g1", login=False)
    app = gateway_app(options, blobs, lambda folder: ArtifactLoader(folder, blobs, online), HttpLink("http://127.0.0.1:1", "g1", ""))
    sent: list[Any] = []

    async def broken() -> Any:
        raise OSError("the wire broke")

    async def kept(message: Any) -> None:
        sent.append(message)

    headers = [(b"host", b"127.0.0.1:7701"), (b"x-request-id", b"7d44-40ab")]
    asyncio.run(app({"type": "http", "method": "POST", "path": "/features/some", "headers": headers}, broken, kept))
    online.close()
    assert (sent[0]["status"], dict(sent[0]["headers"])[b"x-request-id"]) == (500, b"7d44-40ab")
    assert "7d44-40ab" in json.loads(sent[1]["body"])["error"]["hint"]
    (line,) = told(lines)
    assert (line["request_id"], line["level"], line["message"]) == ("7d44-40ab", "error", "POST /features/some failed")
    assert "the wire broke" in line["error"]


def test_a_stage_that_breaks_down_is_named_in_the_log_of_its_worker(tmp_path: Path, lines: pytest.LogCaptureFixture) -> None:
    with opened(Settings(data=str(tmp_path))) as installation:
        delivery = started(installation.database)
        assert work_once(installation, "tested")
    line = next(line for line in told(lines) if "broke down" in line["message"])
    assert line["job_id"] == f"{delivery.id}/snapshot"
    assert JOB_ID.get() == ""


def test_a_lease_that_cannot_be_extended_is_told_with_its_job(tmp_path: Path, lines: pytest.LogCaptureFixture) -> None:
    database = Database.open(f"sqlite:///{tmp_path}/gone.db", SystemClock())
    database.close()
    token = JOB_ID.set("dlv_1/train")
    with Heart(database, lambda tx: None, 0.01):
        until(lambda: bool(lines.records))
    JOB_ID.reset(token)
    assert told(lines)[0]["job_id"] == "dlv_1/train"


def test_a_write_belongs_to_the_request_that_asked_for_it(database: Database) -> None:
    token = REQUEST_ID.set("asked")
    submitted = [database.submit(lambda tx: REQUEST_ID.get()) for _ in range(3)]
    REQUEST_ID.reset(token)
    assert [one.result() for one in submitted] == ["asked"] * 3
    assert database.write(lambda tx: REQUEST_ID.get()) == ""


def test_the_server_counts_and_times_its_answers(running: Running) -> None:
    with running.client(Role.ADMIN) as client:
        given = client.get("/healthz", headers={"X-Request-Id": "0af7-65"}).headers["x-request-id"]
        foreign = client.get("/healthz", headers={"X-Request-Id": 'quote" and {brace}'}).headers["x-request-id"]
        assert client.get("/nothing-here").status_code == 404
        text = client.get("/metrics").text
    assert given == "0af7-65"
    assert foreign.isalnum()
    answered = {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in text.splitlines() if not line.startswith("#")}
    assert answered['modelyard_requests_total{method="GET",status="200"}'] >= 2
    assert answered['modelyard_requests_total{method="GET",status="404"}'] >= 1
    assert answered['modelyard_request_seconds_count{method="GET"}'] >= 3
    assert answered['modelyard_request_seconds_bucket{le="+Inf",method="GET"}'] == answered['modelyard_request_seconds_count{method="GET"}']
