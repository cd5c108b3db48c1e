"""Entity keys and predictions' ids as texts, the same wherever predictions and labels meet. Owns those texts alone."""

from collections.abc import Sequence

import msgspec

from modelyard.serving.domain import Cell
from modelyard.serving.log.frames import ID_BYTES

_encoder = msgspec.json.Encoder()


def key_text(cells: Sequence[Cell]) -> str:
    """The keys, in their declared order, as compact JSON.

    >>> key_text(["JFK", 1545, None])
    '["JFK",1545,null]'
    """
    return _encoder.encode(cells).decode()


def id_texts(ids: bytes) -> list[str]:
    """The ids as people write them."""
    text = ids.hex()
    starts = range(0, len(text), 2 * ID_BYTES)
    return [
        f"{text[n : n + 8]}-{text[n + 8 : n + 12]}-{text[n + 12 : n + 16]}-{text[n + 16 : n + 20]}-{text[n + 20 : n + 32]}" for n in starts
    ]
