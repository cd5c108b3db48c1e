"""Entity keys as one text, the same wherever predictions and labels of an entity meet. Owns that text alone."""

from collections.abc import Sequence

import msgspec

from modelyard.serving.domain import Cell

_encoder = msgspec.json.Encoder()


def key_text(cells: Sequence[Cell]) -> str:
    """The keys, in their declared order, as compact JSON.

    >>> key_text(["JFK", 1545, None])
    '["JFK",1545,null]'
    """
    return _encoder.encode(cells).decode()
