"""Projects' sources over HTTP: an archive in, its digest out. Owns the bytes alone; what is in them is read by a delivery."""

from typing import Any

from litestar import Request, Response
from litestar.handlers import HTTPRouteHandler

from modelyard.core.errors import InvalidInput
from modelyard.server.installation import Installation
from modelyard.web.http import transfer_handler
from modelyard.web.operations import Transfer

SOURCE = Transfer(
    method="PUT",
    path="/sources",
    name="upload_source",
    component="delivery",
    about="Stores a project's source archive and answers its digest; equal content is stored once.",
    takes="application/x-tar",
    answers="text/plain",
)


def source_route(installation: Installation) -> HTTPRouteHandler:
    """The route of SOURCE."""

    async def put_source(request: Request[Any, Any, Any]) -> Response[bytes]:
        content = await request.body()
        if not content:
            raise InvalidInput("an empty archive", hint="send the project's files as a tar archive")
        return Response(installation.blobs.put_bytes(content).encode(), media_type=SOURCE.answers)

    return transfer_handler(SOURCE, put_source)
