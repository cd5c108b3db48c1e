"""The gallery, asked in process and served to a real browser."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvicorn
from litestar.testing import TestClient
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from tests.servers import chromium_path, free_port
from tests.web.gallery import Gallery, State, gallery

SWITCHES = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
HTML = {"accept": "text/html"}
PATIENCE_MS = 30_000
# Drawing a first chart takes a busy machine longer than Playwright's own five seconds.
expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture
def state() -> State:
    """What the gallery's actions change."""
    return State()


@pytest.fixture
def client(tmp_path: Path, state: State) -> Iterator[TestClient[Any]]:
    """The gallery, asked in process by somebody who takes HTML and follows no redirect."""
    with TestClient(gallery(tmp_path, state).app, base_url="http://gallery.local") as client:
        client.headers.update(HTML)
        client.follow_redirects = False
        yield client


class Served:
    """The gallery behind a port. `stop` ends it as a server ends: first its streams, then the rest."""

    def __init__(self, made: Gallery, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._made = made
        self._loop = asyncio.new_event_loop()
        self._server = uvicorn.Server(uvicorn.Config(made.app, host="127.0.0.1", port=port, log_level="error", lifespan="on"))
        self._up = threading.Event()
        self._thread = threading.Thread(target=self._run, name="gallery")
        self._thread.start()
        assert self._up.wait(20)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.create_task(self._say_when_up())
        self._loop.run_until_complete(self._server.serve())
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    async def _say_when_up(self) -> None:
        while not self._server.started:
            await asyncio.sleep(0.01)
        self._up.set()

    def stop(self) -> None:
        """Ends the server and waits until it has."""
        asyncio.run_coroutine_threadsafe(self._made.hub.close(), self._loop).result(10)
        self._server.should_exit = True
        self._thread.join(20)
        assert not self._thread.is_alive()


@pytest.fixture
def port() -> int:
    """A free port."""
    return free_port()


@pytest.fixture
def served(tmp_path: Path, state: State, port: int) -> Iterator[Served]:
    """The gallery behind a port."""
    server = Served(gallery(tmp_path, state), port)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A module's Chromium. Not the session's: while it is open, its event loop counts as running in this thread."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=SWITCHES)
        yield browser
        browser.close()


class Said(msgspec.Struct):
    """What the console said that no page should make it say."""

    lines: list[str]

    def hear(self, message: ConsoleMessage) -> None:
        """Notes errors and warnings."""
        if message.type in ("error", "warning"):
            self.lines.append(message.text)


@pytest.fixture
def said() -> Said:
    """What the tab's console said."""
    return Said(lines=[])


@pytest.fixture
def tab(browser: Browser, said: Said, served: Served) -> Iterator[Page]:
    """A tab of its own at desk width; whatever it requests beyond the gallery fails the test."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, base_url=served.url)
    page = context.new_page()
    page.on("console", lambda message: said.hear(message))
    page.on("pageerror", lambda error: said.lines.append(str(error)))
    page.on("request", lambda request: None if request.url.startswith(served.url) else said.lines.append(f"left for {request.url}"))
    page.set_default_timeout(PATIENCE_MS)
    yield page
    context.close()
