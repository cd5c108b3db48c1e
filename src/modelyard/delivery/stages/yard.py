"""What a stage works with: the stores, and the delivery with its declaration. Owns how files of a delivery are kept."""

import io
from collections.abc import Callable
from pathlib import Path

import msgspec
import polars as pl

from modelyard.core.digests import Digest
from modelyard.delivery.declaration import ModelDeclaration
from modelyard.delivery.domain import Delivery, DeliveryDetail, Facts, ModelNotDeclared, StageName
from modelyard.delivery.service import find_declared
from modelyard.features.stored import Histories
from modelyard.ledger.service import LogKey
from modelyard.storage.blobs import Blobs
from modelyard.storage.database import Database
from modelyard.storage.online import OnlineStore
from modelyard.storage.tables import Tables


class Yard(msgspec.Struct, frozen=True, kw_only=True):
    """The stores, the data folder, the log's key, who works here, and `beat`, which raises where the work is to end."""

    database: Database
    blobs: Blobs
    tables: Tables
    histories: Histories
    online: OnlineStore
    folder: Path
    log_key: LogKey
    holder: str
    beat: Callable[[], None]


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """The delivery under way, what was declared when it began, and where the project's data paths start from."""

    detail: DeliveryDetail
    declaration: ModelDeclaration
    source: Digest
    root: Path

    @property
    def delivery(self) -> Delivery:
        """The delivery."""
        return self.detail.delivery

    def facts(self, name: StageName) -> Facts:
        """What an earlier stage found out."""
        return self.detail.facts(name)


def job_of(yard: Yard, detail: DeliveryDetail) -> Job:
    """The delivery with its declaration. Raises ModelNotDeclared where the record of it is gone."""
    with yard.database.read() as snapshot:
        found = find_declared(snapshot, detail.delivery.model, detail.delivery.declaration)
    if found is None:
        raise ModelNotDeclared(
            f"{detail.delivery.model} has no declaration {detail.delivery.declaration}", hint="yard apply, then yard ship"
        )
    declared = found.declared
    return Job(detail=detail, declaration=declared.declaration, source=declared.source, root=Path(declared.root))


def put_frame(blobs: Blobs, frame: pl.DataFrame) -> Digest:
    """Stores a table as a Parquet file and gives the file's digest."""
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return blobs.put_bytes(buffer.getvalue())


def get_frame(blobs: Blobs, digest: str) -> pl.DataFrame:
    """The table that was stored as that file, checked against the digest."""
    return pl.read_parquet(io.BytesIO(blobs.get_bytes(Digest(digest))))


def snapshot_of(yard: Yard, job: Job) -> pl.DataFrame:
    """The delivery's training snapshot, in the order of its instants, or of its rows' places."""
    return get_frame(yard.blobs, job.facts(StageName.SNAPSHOT)["file"])
