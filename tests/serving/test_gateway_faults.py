"""What nobody foresaw, inside a gateway: it is told in the shape of the path, and not in its details."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from modelyard.serving.gateway.link import FileLink
from modelyard.serving.gateway.loading import ArtifactLoader
from modelyard.serving.gateway.run import GatewayOptions, gateway_app
from modelyard.serving.gateway.wire import Message
from modelyard.storage.blobs import Blobs
from modelyard.storage.online import LmdbStore

WORDS, HINT = "something failed here, not in your request", "the gateway's log names the request r-1"
SHAPES: dict[str, Any] = {
    "/v2/models/late/infer": {"error": f"{WORDS} ({HINT})"},
    "/invocations/late": {"error_code": "INTERNAL_ERROR", "message": WORDS, "hint": HINT},
    "/predict/late": {"error": {"code": "internal_error", "message": WORDS, "hint": HINT}},
}


@pytest.mark.parametrize("path", SHAPES)
def test_what_nobody_foresaw_is_told_in_the_shape_of_the_path(tmp_path: Path, path: str) -> None:
    blobs, online = Blobs.open(f"file://{tmp_path}/blobs"), LmdbStore.open(tmp_path / "online")
    options = GatewayOptions(name="g1", folder=tmp_path / "g1")
    app = gateway_app(options, blobs, lambda folder: ArtifactLoader(folder, blobs, online), FileLink(tmp_path / "assignment.json"))
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        raise AssertionError("nothing is read of a request without a head")

    # No server hands on a header without a value: the fault is the gateway's own.
    headers = [(b"x-request-id", b"r-1"), (b"host", None)]
    asyncio.run(app({"type": "http", "method": "POST", "path": path, "headers": headers}, receive, send))
    online.close()
    assert (sent[0]["status"], json.loads(sent[1]["body"])) == (500, SHAPES[path])
