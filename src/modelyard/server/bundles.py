"""The bundles of dossiers over HTTP, as tar archives, and their PDFs. Owns the bytes alone; who may is the service's business."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from litestar import Request, Response
from litestar.handlers import HTTPRouteHandler
from litestar.response import Stream

from modelyard.governance.domain import DossierId
from modelyard.governance.pages.dossier import archive_name
from modelyard.governance.service import open_bundle, open_pdf
from modelyard.server.guard import principal_of
from modelyard.server.installation import Installation
from modelyard.web.binding import pooled
from modelyard.web.http import transfer_handler
from modelyard.web.operations import Transfer

BUNDLE = Transfer(
    method="GET",
    path="/dossiers/{dossier}/bundle",
    name="download_dossier",
    component="governance",
    about="The bundle of a dossier, which `yard verify` holds against what an auditor trusts. The header Digest names its content.",
    answers="application/x-tar",
)
PDF = Transfer(
    method="GET",
    path="/dossiers/{dossier}/pdf",
    name="download_dossier_pdf",
    component="governance",
    about="A dossier as a document to read and print.",
    answers="application/pdf",
)


def bundle_route(installation: Installation, pool: ThreadPoolExecutor) -> HTTPRouteHandler:
    """The route of BUNDLE."""

    async def bundle(request: Request[Any, Any, Any]) -> Stream:
        principal, asked = principal_of(request), DossierId(str(request.path_params["dossier"]))
        work = pooled(pool, lambda: open_bundle(installation.database, installation.blobs, principal, asked))
        found, chunks = await work
        headers = {
            "Content-Length": str(found.size_bytes),
            "Content-Disposition": f'attachment; filename="{archive_name(found)}"',
            "Digest": found.digest,
        }
        return Stream(chunks, media_type=BUNDLE.answers, headers=headers)

    return transfer_handler(BUNDLE, bundle)


def pdf_route(installation: Installation, pool: ThreadPoolExecutor) -> HTTPRouteHandler:
    """The route of PDF."""

    async def pdf(request: Request[Any, Any, Any]) -> Response[bytes]:
        principal, asked = principal_of(request), DossierId(str(request.path_params["dossier"]))
        work = pooled(pool, lambda: open_pdf(installation.database, installation.blobs, principal, asked))
        found, content = await work
        name = archive_name(found).removesuffix(".tar")
        return Response(content, media_type=PDF.answers, headers={"Content-Disposition": f'attachment; filename="{name}.pdf"'})

    return transfer_handler(PDF, pdf)
