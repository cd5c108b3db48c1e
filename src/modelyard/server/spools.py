"""Spools that were left in the data folder, taken in without a detour over HTTP. Owns whose runs they become.

A spool whose writer lives is left to it: that process sends it to the server by itself.
"""

import logging
import time
from pathlib import Path

from modelyard.access.domain import Principal
from modelyard.access.service import authenticated
from modelyard.core.errors import ModelyardError
from modelyard.sdk.tracking.leftovers import SpoolReader, list_spools, taken_over
from modelyard.sdk.tracking.sending import Sending
from modelyard.sdk.tracking.spool import SPOOLS, Head, Spooled
from modelyard.server.data_folder import CLI
from modelyard.server.installation import Installation
from modelyard.tracking import service
from modelyard.tracking.spooled import File, SpooledBatch

LOG = logging.getLogger("modelyard.spools")
TURN_S = 1.0
"""How long one turn takes spools in at most; the worker has other things to do."""


class Direct:
    """The services of this process as the receiver of spools."""

    def __init__(self, installation: Installation, principal: Principal) -> None:
        self._database, self._blobs, self._principal = installation.database, installation.blobs, principal

    def take(self, head: Head, batch: Spooled) -> None:
        """Takes a batch in."""
        body = SpooledBatch(record=batch.record)
        service.deliver_batch(self._database, self._principal, head.run_id, head.source, batch.sequence, body)

    def put_file(self, head: Head, file: File, path: Path) -> None:
        """Stores an artifact."""
        service.store_file(self._database, self._blobs, self._principal, (head.run_id, file.path), path)


def tick(installation: Installation) -> bool:
    """Takes in what spools of writers that are gone hold; whether there was anything. It belongs to this machine's own commands."""
    folders = list_spools(installation.settings.folder / SPOOLS)
    principal = _local_principal(installation) if folders else None
    if principal is None:
        return False
    receiver, until, steps = Direct(installation, principal), time.monotonic() + TURN_S, 0
    for folder in folders:
        try:
            with taken_over(folder) as reader:
                if reader is not None and not reader.head.url:
                    steps += _taken_in(reader, receiver, until)
        except OSError as error:  # the others are taken in all the same
            LOG.warning("the spool %s cannot be read or written: %s", folder.name, error.strerror or error)
    return steps > 0


def _taken_in(reader: SpoolReader, receiver: Direct, until: float) -> int:
    """How many batches were taken in before the time was over."""
    sending, steps = Sending(reader, receiver, is_orphan=True, told=LOG.warning), 0
    try:
        while time.monotonic() < until and sending.step():
            steps += 1
    except ModelyardError as error:
        LOG.warning("the spool %s waits: %s", reader.folder.name, error.message)
    return steps


def _local_principal(installation: Installation) -> Principal | None:
    """Who whoever may write to the data folder is; None before the folder has its token."""
    path = installation.settings.folder / CLI
    if not path.is_file():
        return None
    with installation.database.read() as snapshot:
        found = authenticated(snapshot, {"authorization": f"Bearer {path.read_text('utf-8').strip()}"})
    return found.principal if found is not None else None
