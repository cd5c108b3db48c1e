"""The files of versions over HTTP, one at a time. Owns the bytes alone; who may is the service's business."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from litestar import Request
from litestar.handlers import HTTPRouteHandler
from litestar.response import Stream

from modelyard.core.errors import InvalidInput
from modelyard.registry.domain import ModelName
from modelyard.registry.service import open_version_file
from modelyard.server.guard import principal_of
from modelyard.server.installation import Installation
from modelyard.web.binding import pooled
from modelyard.web.http import transfer_handler
from modelyard.web.operations import Transfer

CONTENT = Transfer(
    method="GET",
    path="/models/{model}/versions/{version}/content",
    name="download_version_file",
    component="registry",
    about="A file of a version's artifact, as it was registered. The header Digest names its content.",
    query={"path": "the file's path"},
    answers="application/octet-stream",
)


def version_file_route(installation: Installation, pool: ThreadPoolExecutor) -> HTTPRouteHandler:
    """The route of CONTENT."""

    async def content(request: Request[Any, Any, Any]) -> Stream:
        principal, number = principal_of(request), str(request.path_params["version"])
        if not number.isascii() or not number.isdigit() or len(number) > 9:
            raise InvalidInput(f"{number[:60]!r} is no number of a version", hint="a version has a number")
        at = (ModelName(str(request.path_params["model"])), int(number), request.query_params.get("path", ""))
        work = pooled(pool, lambda: open_version_file(installation.database, installation.blobs, principal, at))
        found, chunks = await work
        headers = {"Content-Length": str(found.size_bytes), "Content-Disposition": "attachment", "Digest": found.digest}
        return Stream(chunks, media_type=CONTENT.answers, headers=headers)

    return transfer_handler(CONTENT, content)
