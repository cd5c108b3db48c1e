"""Reads an aggregating view online: an entity's tiles, and the rows at its windows' edges. Decodes what `tiles.py` wrote."""

from collections.abc import Sequence

from modelyard.features.domain import FeatureSelection, Reason, Value
from modelyard.features.exact import mean
from modelyard.features.layout import ENTITY, TILE, prefix, tile_bytes
from modelyard.features.parts import Found
from modelyard.features.tiles import HEAD, ROWS_HEAD, Words, tile_us


class WindowPart:
    """Reads an aggregating view: its tiles, and the rows of the tile that each window's edge lies in."""

    def __init__(self, selection: FeatureSelection) -> None:
        view = selection.view
        self._prefix = prefix(view.digest)
        chosen = [next(output for output in view.outputs if output.name == name) for name in selection.names]
        columns = [item.column for item in view.aggregate]
        self._windows = tuple(dict.fromkeys(output.window.length_us for output in chosen))
        self._sums = tuple(dict.fromkeys((columns.index(one.column), self._windows.index(one.window.length_us)) for one in chosen))
        pairs = [(columns.index(one.column), self._windows.index(one.window.length_us)) for one in chosen]
        self._outputs = tuple((self._sums.index(pair), one.function == "mean") for pair, one in zip(pairs, chosen, strict=True))
        self._tile = tile_us(max(window.length_us for window in view.windows))
        self._nothing = (None,) * len(chosen)

    def keys(self, entity: bytes, at: int) -> list[bytes]:
        """The entity's tiles, and for each window the rows of the tile at its edge."""
        start = self._prefix + TILE + entity
        return [self._prefix + ENTITY + entity, *[start + tile_bytes((at - length) // self._tile) for length in self._windows]]

    def found(self, contents: Sequence[bytes | None], at: int) -> Found:
        """The windows' values at `at`; a window without values counts 0 and has no mean."""
        main = contents[0]
        if main is None:
            return Found(self._nothing, None, Reason.UNKNOWN_ENTITY)
        tiles = Words(main, HEAD)
        newest, latest = tiles.head
        if latest > at:
            return Found(self._nothing, None, Reason.AHEAD)
        edges = [at - length for length in self._windows]
        rows = [
            Words(content, ROWS_HEAD) if content is not None and tiles.holds(edge // self._tile) else None
            for edge, content in zip(edges, contents[1:], strict=True)
        ]
        sums = []
        for column, window in self._sums:
            count, whole, exponent = *tiles.behind(column, edges[window] // self._tile), tiles.exponent(column)
            edge_rows = rows[window]
            if edge_rows is not None:
                more, addend = edge_rows.behind(column, edges[window])
                unit = edge_rows.exponent(column)
                if unit < exponent:
                    whole, exponent = whole << (exponent - unit), unit
                count, whole = count + more, whole + (addend << (unit - exponent))
            sums.append((count, whole, exponent))
        values: list[Value] = []
        for index, is_mean in self._outputs:
            count, whole, exponent = sums[index]
            values.append(mean(whole, exponent, count) if is_mean else count)
        return Found(tuple(values), newest, Reason.EMPTY if None in values else None)
