"""Routes of MLflow's interface and how a request finds its own. Owns the table's form; each module beside adds its rows."""

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from modelyard.access.domain import Principal
from modelyard.storage.database import Snapshot
from modelyard.tracking.domain import Artifact, Batch
from modelyard.tracking.wire.codec import Request

PREFIXES = ("/api/", "/ajax-api/")


class Read(msgspec.Struct, frozen=True):
    """A route that reads: its function answers a struct, or JSON that is ready."""

    function: Callable[[Snapshot, Principal, Any], Any]


class Write(msgspec.Struct, frozen=True):
    """A route that writes, in one transaction. What `prepare` reads before it comes as the last argument, if it is given."""

    function: Callable[..., Any]
    prepare: Callable[[Snapshot, Principal, Any], Any] | None = None


class Log(msgspec.Struct, frozen=True):
    """A route that logs a batch; batches of concurrent requests share a transaction and its statements.

    `is_single` says that a request is about one thing, which errors then name as MLflow does.
    """

    batch: Callable[[Any], Batch]
    is_single: bool = False


class Download(msgspec.Struct, frozen=True):
    """A route that answers a file, which its function finds."""

    function: Callable[[Snapshot, Principal, Any], Artifact]


class MlflowRoute(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table: `/mlflow/...` below `/api/{version}.0` and `/ajax-api/{version}.0`, and what answers it.

    Without a version its path is the whole of it.
    """

    method: str
    path: str
    request: type[Request]
    action: Read | Write | Log | Download
    version: int | None = 2

    @property
    def template(self) -> str:
        """Its path below `/api`, the names in it in braces."""
        return self.path if self.version is None else f"/api/{self.version}.0{self.path}"


class Found(msgspec.Struct, frozen=True):
    """A route and the values of the names in its path."""

    route: MlflowRoute
    values: dict[str, str]


class Router:
    """Finds the route of a method and path."""

    def __init__(self, routes: Iterable[MlflowRoute]) -> None:
        self._plain: dict[tuple[str, str], Found] = {}
        self._named: dict[tuple[str, int], list[tuple[list[str], MlflowRoute]]] = {}
        for route in routes:
            paths = (route.path,) if route.version is None else (f"{prefix}{route.version}.0{route.path}" for prefix in PREFIXES)
            for path in paths:
                self._add(path, route)

    def _add(self, path: str, route: MlflowRoute) -> None:
        if "{" not in path:
            if (route.method, path) in self._plain:
                raise ValueError(f"two routes answer {route.method} {path}")
            self._plain[route.method, path] = Found(route, {})
            return
        parts = path.split("/")
        self._named.setdefault((route.method, len(parts)), []).append((parts, route))

    def find(self, method: str, path: str) -> Found | None:
        """The route, or None. A path parameter takes one part of the path, never an empty one."""
        plain = self._plain.get((method, path))
        if plain is not None:
            return plain
        parts = path.split("/")
        for pattern, route in self._named.get((method, len(parts)), ()):
            if all(part == word or (word.startswith("{") and part) for part, word in zip(parts, pattern, strict=True)):
                return Found(route, {word[1:-1]: part for part, word in zip(parts, pattern, strict=True) if word.startswith("{")})
        return None
