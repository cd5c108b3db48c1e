"""The files that pages load: our style sheet, our scripts, the chart library. Owns their names and how they are cached.

A name carries its content's digest, so an answer never goes stale and may be kept for ever.
"""

import asyncio
import gzip
import hashlib
import importlib
import importlib.metadata
from pathlib import Path
from typing import Any

import msgspec
from litestar import Request, Response, route
from litestar.handlers import HTTPRouteHandler

from modelyard.core.errors import NotFound

STATIC = Path(__file__).parent / "static"
PREFIX = "/assets"
FOR_EVER = "public, max-age=31536000, immutable"
MEDIA = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".woff2": "font/woff2"}
CHARTS = "vega.js"
CHART_LIBRARY = "vl-convert-python"


class Asset(msgspec.Struct, frozen=True, kw_only=True):
    """A file as it is sent: plain, compressed where that helps, and its media type."""

    plain: bytes
    zipped: bytes | None
    media: str


class Assets:
    """All assets, by the names that pages use. The chart library is made when it is first asked for, and kept."""

    def __init__(self, contents: dict[str, bytes]) -> None:
        self._named = {name: _digested(name, content) for name, content in contents.items()}
        self._served = {self._named[name]: _packed(name, content) for name, content in contents.items()}
        # The bundle of one version of the library is always the same, so the version stands for its content.
        self._named[CHARTS] = _digested(CHARTS, importlib.metadata.version(CHART_LIBRARY).encode())

    def url(self, name: str) -> str:
        """Where the asset `name` is served. Raises KeyError where there is none: a mistake in a template."""
        return f"{PREFIX}/{self._named[name]}"

    def served(self, served_name: str) -> Asset:
        """The asset under the name of its address. Raises NotFound."""
        if served_name == self._named[CHARTS] and served_name not in self._served:
            self._served[served_name] = _packed(CHARTS, _chart_library())
        found = self._served.get(served_name)
        if found is None:
            raise NotFound(f"no asset {served_name[:80]!r}", hint="reload the page: its assets were renewed")
        return found


def load_assets(folder: Path = STATIC) -> Assets:
    """The assets of `folder`: scripts, pictures and fonts by name, and the style sheets of `css/` joined in order."""
    files = {path.name: path.read_bytes() for path in sorted((*folder.iterdir(), *(folder / "fonts").iterdir())) if path.suffix in MEDIA}
    styles = b"\n".join(path.read_bytes() for path in sorted((folder / "css").glob("*.css")))
    for name, content in files.items():
        styles = styles.replace(f"url({name})".encode(), f"url({_digested(name, content)})".encode())
    return Assets({"modelyard.css": styles, **files})


def asset_route(assets: Assets) -> HTTPRouteHandler:
    """The route that serves them, compressed where the browser takes it."""

    async def asset(request: Request[Any, Any, Any]) -> Response[bytes]:
        name = request.path_params["name"]
        etag = f'"{name}"'
        headers = {"Cache-Control": FOR_EVER, "ETag": etag, "Vary": "Accept-Encoding"}
        found = await asyncio.to_thread(assets.served, name)
        if request.headers.get("if-none-match") == etag:
            return Response(b"", status_code=304, headers=headers)
        if found.zipped and "gzip" in request.headers.get("accept-encoding", ""):
            return Response(found.zipped, media_type=found.media, headers={**headers, "Content-Encoding": "gzip"})
        return Response(found.plain, media_type=found.media, headers=headers)

    return route(f"{PREFIX}/{{name:str}}", http_method=["GET", "HEAD"], name="web.asset", include_in_schema=False, status_code=200)(asset)


def _digested(name: str, content: bytes) -> str:
    path = Path(name)
    return f"{path.stem}.{hashlib.sha256(content).hexdigest()[:12]}{path.suffix}"


def _packed(name: str, content: bytes) -> Asset:
    media = MEDIA[Path(name).suffix]
    return Asset(plain=content, zipped=None if media.startswith("font/") else gzip.compress(content, 6, mtime=0), media=media)


def _chart_library() -> bytes:
    # By name: half a second and 60 MB that a server without charts on its pages never pays.
    bundle: str = importlib.import_module("vl_convert").javascript_bundle()
    return bundle.encode()
