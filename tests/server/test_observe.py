"""What is written of a request: its path, but for the secret of a one-time link."""

import asyncio
import logging
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from modelyard.server.observe import Observed


def test_the_secret_of_a_link_is_in_no_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def failing(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 500})

    async def nothing(message: Any = None) -> Any:
        return message

    observed = Observed(failing, CollectorRegistry())
    with caplog.at_level(logging.ERROR, "modelyard.requests"):
        for path in ("/setup/s3cret", "/models/late"):
            asyncio.run(observed({"type": "http", "method": "GET", "path": path, "headers": []}, nothing, nothing))
    assert "s3cret" not in caplog.text
    assert "/models/late" in caplog.text
