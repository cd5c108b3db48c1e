"""The point-in-time join over HTTP: label rows in as Parquet, the same rows with their features out. Owns the bytes alone."""

import io
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import polars as pl
from litestar import Request, Response
from litestar.handlers import HTTPRouteHandler

from modelyard.access.domain import Principal
from modelyard.core.errors import InvalidInput
from modelyard.features.domain import BadLabels
from modelyard.features.service import get_readable_set, historical_rows
from modelyard.features.stored import Histories
from modelyard.server.guard import principal_of
from modelyard.storage.database import Database
from modelyard.web.binding import pooled
from modelyard.web.http import transfer_handler
from modelyard.web.operations import Transfer

PARQUET = "application/vnd.apache.parquet"
JOIN = Transfer(
    method="POST",
    path="/feature-sets/{feature_set}/join",
    name="join_features",
    component="features",
    about="""The label rows of a Parquet file with the set's features as they were visible at each row's instant.

    Each part of a large table is a request of its own. Raises BadLabels, FeatureSetNotFound and NotAllowed.""",
    query={"as_of": "the column of instants"},
    takes=PARQUET,
    answers=PARQUET,
)


def join_route(database: Database, histories: Histories, pool: ThreadPoolExecutor) -> HTTPRouteHandler:
    """The route of JOIN."""

    async def join(request: Request[Any, Any, Any]) -> Response[bytes]:
        principal, column = principal_of(request), request.query_params.get("as_of", "")
        feature_set = str(request.path_params["feature_set"])
        if not column:
            raise InvalidInput("the query names no column of instants", hint="?as_of=COLUMN")
        content = await request.body()
        work = pooled(pool, lambda: joined(database, histories, principal, (feature_set, column), content))
        return Response(await work, media_type=PARQUET)

    return transfer_handler(JOIN, join)


def joined(database: Database, histories: Histories, principal: Principal, asked: tuple[str, str], content: bytes) -> bytes:
    """The rows of `content` with the features of a set as of a column, both named in `asked`. What it raises, JOIN says."""
    name, column = asked
    with database.read() as snapshot:
        found = get_readable_set(snapshot, principal, name)
    try:
        labels = pl.read_parquet(content)
    except pl.exceptions.PolarsError as error:
        raise BadLabels(f"the body is no Parquet file: {error}", hint="send the label rows as Parquet") from error
    rows = historical_rows(database, found.set, labels, column, histories)
    stream = io.BytesIO()
    rows.frame.write_parquet(stream)
    return stream.getvalue()
