"""What a worker's work is given of its installation. Owns nothing but that."""

from collections.abc import Callable

from modelyard.delivery.stages import Yard
from modelyard.server.installation import Installation


def yard_of(installation: Installation, holder: str, beat: Callable[[], None]) -> Yard:
    """The yard that `holder` works in; `beat` raises where its work is to end."""
    return Yard(
        database=installation.database,
        blobs=installation.blobs,
        tables=installation.tables,
        histories=installation.histories,
        online=installation.online,
        folder=installation.settings.folder,
        log_key=installation.log_key,
        holder=holder,
        beat=beat,
    )
