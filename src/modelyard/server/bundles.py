"""The bundles of dossiers over HTTP, as tar archives, and their PDFs. Owns the bytes alone; who may is the service's business."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from litestar import Request, Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.response import Stream

from modelyard.governance.domain import DossierId
from modelyard.governance.pages.dossier import archive_name
from modelyard.governance.service import open_bundle, open_pdf
from modelyard.server.guard import principal_of
from modelyard.server.installation import Installation
from modelyard.web.binding import pooled

TAR, PDF = "application/x-tar", "application/pdf"


def bundle_route(installation: Installation, pool: ThreadPoolExecutor) -> HTTPRouteHandler:
    """`GET /api/v1/dossiers/{dossier}/bundle`."""

    @get("/api/v1/dossiers/{dossier:str}/bundle", name="bundle", include_in_schema=False)
    async def bundle(request: Request[Any, Any, Any]) -> Stream:
        principal, asked = principal_of(request), DossierId(str(request.path_params["dossier"]))
        work = pooled(pool, lambda: open_bundle(installation.database, installation.blobs, principal, asked))
        found, chunks = await work
        headers = {
            "Content-Length": str(found.size_bytes),
            "Content-Disposition": f'attachment; filename="{archive_name(found)}"',
            "Digest": found.digest,
        }
        return Stream(chunks, media_type=TAR, headers=headers)

    return bundle


def pdf_route(installation: Installation, pool: ThreadPoolExecutor) -> HTTPRouteHandler:
    """`GET /api/v1/dossiers/{dossier}/pdf`."""

    @get("/api/v1/dossiers/{dossier:str}/pdf", name="pdf", include_in_schema=False)
    async def pdf(request: Request[Any, Any, Any]) -> Response[bytes]:
        principal, asked = principal_of(request), DossierId(str(request.path_params["dossier"]))
        work = pooled(pool, lambda: open_pdf(installation.database, installation.blobs, principal, asked))
        found, content = await work
        name = archive_name(found).removesuffix(".tar")
        return Response(content, media_type=PDF, headers={"Content-Disposition": f'attachment; filename="{name}.pdf"'})

    return pdf
