"""Lineage as a drawing: things in lanes from left to right, and lines between them. Owns where each stands; a macro draws it."""

from collections.abc import Collection, Sequence

import msgspec

from modelyard.web.parts import Tone

WIDTH, HEIGHT = 208.0, 46.0
GAP, ROOM, HEAD = 12.0, 56.0, 26.0
MOST = 8
LONGEST = 25


class Knot(msgspec.Struct, frozen=True, kw_only=True):
    """A thing in a lane; `note` is its second line, `title` what both say in full where that is more."""

    id: str
    label: str
    href: str = ""
    note: str = ""
    tone: Tone = "idle"
    is_here: bool = False
    title: str = ""


class Lane(msgspec.Struct, frozen=True):
    """Things of one kind, one below the other."""

    title: str
    knots: tuple[Knot, ...]


class PlacedKnot(msgspec.Struct, frozen=True, kw_only=True):
    """A thing at its place, its texts cut to what fits; `title` has them whole."""

    knot: Knot
    label: str
    note: str
    title: str
    x: float
    y: float


class Lanes(msgspec.Struct, frozen=True, kw_only=True):
    """The drawing: its size, the lanes' titles with their left edges, things, and lines as SVG paths. `label` says it in a sentence."""

    label: str
    width: float
    height: float
    titles: tuple[tuple[str, float], ...]
    knots: tuple[PlacedKnot, ...]
    lines: tuple[str, ...]
    knot_width: float = WIDTH
    knot_height: float = HEIGHT


def lanes_of(label: str, lanes: Sequence[Lane], lines: Collection[tuple[str, str]], most: int = MOST, *, more: str = "") -> Lanes:
    """The drawing of `lanes`, each with `most` things at most and then how many more there are, and of `lines` between their ids.

    A line to a thing that is not drawn goes to those that are more, which are all to be found at `more`. A lane with fewer things
    stands in the middle.
    """
    drawn = [Lane(lane.title, _few(number, lane.knots, most, more)) for number, lane in enumerate(lanes)]
    tallest = max((len(lane.knots) for lane in drawn), default=1)
    height = HEAD + tallest * (HEIGHT + GAP)
    placed: dict[str, PlacedKnot] = {}
    for number, lane in enumerate(drawn):
        top = HEAD + (tallest - len(lane.knots)) / 2 * (HEIGHT + GAP)
        for place, knot in enumerate(lane.knots):
            placed[knot.id] = _placed(knot, number * (WIDTH + ROOM), top + place * (HEIGHT + GAP))
    hidden = {knot.id: _more(number) for number, lane in enumerate(lanes) for knot in lane.knots if knot.id not in placed}
    ends = dict.fromkeys((hidden.get(one, one), hidden.get(other, other)) for one, other in lines)
    return Lanes(
        label=label,
        width=len(drawn) * (WIDTH + ROOM) - ROOM,
        height=height,
        titles=tuple((lane.title, number * (WIDTH + ROOM)) for number, lane in enumerate(drawn)),
        knots=tuple(placed.values()),
        lines=tuple(_line(placed[one], placed[other]) for one, other in ends if one in placed and other in placed),
    )


def _few(lane: int, knots: tuple[Knot, ...], most: int, more: str) -> tuple[Knot, ...]:
    if len(knots) <= most:
        return knots
    return (*knots[: most - 1], Knot(id=_more(lane), label=f"{len(knots) - most + 1} more", href=more))


def _more(lane: int) -> str:
    return f"more:{lane}"


def _placed(knot: Knot, x: float, y: float) -> PlacedKnot:
    title = knot.title or (f"{knot.label}, {knot.note}" if knot.note else knot.label)
    return PlacedKnot(knot=knot, label=_cut(knot.label, LONGEST), note=_cut(knot.note, LONGEST + 5), title=title, x=x, y=y)


def _cut(text: str, most: int) -> str:
    """A text of at most so many characters; of a longer one the end is kept too, where names and paths differ.

    >>> _cut("data/warehouse/weather.parquet", 16)
    'data/wa…parquet'
    """
    if len(text) <= most:
        return text
    half = (most - 1) // 2
    return f"{text[:half]}…{text[-half:]}"


def _line(one: PlacedKnot, other: PlacedKnot) -> str:
    x1, y1, x2, y2 = one.x + WIDTH, one.y + HEIGHT / 2, other.x, other.y + HEIGHT / 2
    bend = (x2 - x1) / 2
    return f"M{x1:.1f} {y1:.1f}C{x1 + bend:.1f} {y1:.1f} {x2 - bend:.1f} {y2:.1f} {x2:.1f} {y2:.1f}"
