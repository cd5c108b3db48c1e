"""What others say on a view's page. Monitoring lies above the features, so the composition root hands its function down.

Owns the shape; no HTML travels in it.
"""

from collections.abc import Callable

import msgspec

from modelyard.access.domain import Principal
from modelyard.core.clock import Instant
from modelyard.storage.database import Snapshot


class Parity(msgspec.Struct, frozen=True, kw_only=True):
    """Online reads of a view by one reader, held against its source: how many could be compared, differed, could not be told."""

    reader: str
    href: str
    compared: int
    different: int
    unverifiable: int
    until_at: Instant


class Parities(msgspec.Struct, frozen=True):
    """Who knows how a view's online reads compare with its source: by the view's name, for a viewer."""

    of: Callable[[Snapshot, Principal, str], tuple[Parity, ...]]
