"""Numbers, times and sizes as people read them. Owns the template filters; each is a plain function of plain values."""

import math
import re
from collections.abc import Sequence

from modelyard.core.clock import SECOND, Instant, iso, moment
from modelyard.core.names import listed

NONE = "\u2013"
"""What stands where there is no value: an en dash."""

_SPANS = ((86400 * 365.25, "y"), (86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))
ID = re.compile(r"\b(?:([a-z]{3})_|sha256:)?(?:[0-9a-f]{32}){1,2}\b")
"""An id or a digest in the midst of a text; its first group is the kind that the id says, such as `dlv`."""
_SIZES = ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))


def number(value: float | None, digits: int | None = None) -> str:
    """`value` with thousands set apart; `digits` after the point, else as many as tell its first four significant ones.

    >>> number(281406), number(0.71234), number(12.5), number(0.712, 2), number(None) == NONE
    ('281,406', '0.7123', '12.5', '0.71', True)
    """
    if value is None or not math.isfinite(value):
        return NONE if value is None else {math.inf: "∞", -math.inf: "-∞"}.get(value, "NaN")
    if digits is not None:
        return f"{value:,.{digits}f}"
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    if not 1e-4 <= abs(value) < 1e15:
        return f"{value:.2e}"
    return f"{value:,.{max(0, 3 - math.floor(math.log10(abs(value))))}f}".rstrip("0").rstrip(".")


def signed(value: float | None, digits: int = 3) -> str:
    """`value` with its sign, for differences.

    >>> signed(0.0071, 4), signed(-0.5, 1)
    ('+0.0071', '-0.5')
    """
    return NONE if value is None else f"{value:+,.{digits}f}"


def percent(share: float | None, digits: int | None = None) -> str:
    """A share in [0, 1] as per cent; never rounded to 100 or 0 where it is neither.

    >>> percent(0.026), percent(0.99998), percent(1), percent(0.5, 2)
    ('2.6%', '99.998%', '100%', '50.00%')
    """
    if share is None or not math.isfinite(share):
        return NONE
    if digits is not None:
        return f"{share * 100:.{digits}f}%"
    for places in (1, 2, 3, 4, 6):
        text = f"{share * 100:.{places}f}"
        if (float(text) in (0.0, 100.0)) == (share in (0.0, 1.0)):
            break
    return f"{text.rstrip('0').rstrip('.')}%"


def span(seconds: float | None) -> str:
    """A duration in its largest fitting unit.

    >>> span(0.0023), span(41.2), span(252), span(1_036_800), span(0)
    ('2.3 ms', '41 s', '4.2 min', '12 d', '0 s')
    """
    if seconds is None:
        return NONE
    size = abs(seconds)
    if size == 0:
        return "0 s"
    unit, name = next(((unit, name) for unit, name in _SPANS if size >= unit), _SPANS[-1])
    value = seconds / unit
    return f"{f'{value:.1f}'.removesuffix('.0') if abs(value) < 10 else f'{value:.0f}'} {name}"


def age(at: Instant, now: Instant) -> str:
    """How far `at` lies from `now`, short: for columns of ages.

    >>> age(Instant(0), Instant(90_000_000)), age(Instant(0), Instant(500))
    ('1 min', 'now')
    """
    seconds = abs(now - at) // SECOND
    if seconds < 1:
        return "now"
    unit, name = next((unit, name) for unit, name in _SPANS if seconds >= unit)
    return f"{int(seconds // unit)} {name}"


def ago(at: Instant, now: Instant) -> str:
    """How far `at` lies from `now`, with its side.

    >>> ago(Instant(0), Instant(120_000_000)), ago(Instant(120_000_000), Instant(0)), ago(Instant(0), Instant(0))
    ('2 min ago', 'in 2 min', 'now')
    """
    text = age(at, now)
    if text == "now":
        return text
    return f"{text} ago" if at <= now else f"in {text}"


def exact(at: Instant) -> str:
    """`at` to the second, in UTC.

    >>> exact(Instant(0))
    '1970-01-01 00:00:00 UTC'
    """
    return moment(at).strftime("%Y-%m-%d %H:%M:%S UTC")


def day(at: Instant) -> str:
    """The day of `at`, in UTC.

    >>> day(Instant(0))
    '1 Jan 1970'
    """
    return f"{moment(at).day} {moment(at).strftime('%b %Y')}"


def size(count: int | None) -> str:
    """A number of bytes in its largest fitting unit.

    >>> size(512), size(1536), size(5 * 2**30)
    ('512 B', '1.5 KiB', '5 GiB')
    """
    if count is None:
        return NONE
    unit, name = next(((unit, name) for unit, name in _SIZES if abs(count) >= unit), (1, "B"))
    return f"{f'{count / unit:.1f}'.removesuffix('.0')} {name}"


def short(reference: str) -> str:
    """A digest or a long id with its middle left out.

    >>> short("sha256:9f2c" + "0" * 56 + "e17a"), short("dlv_1")
    ('sha256:9f2c…e17a', 'dlv_1')
    """
    head, colon, rest = reference.rpartition(":")
    return reference if len(rest) <= 14 else f"{head}{colon}{rest[:4]}…{rest[-4:]}"


def brief(text: str) -> str:
    """`text` with the long ids and digests in it shortened, for links and titles; `said` also makes links of them.

    >>> brief("delivery dlv_01a20d08e23270009340d3b9bcd2469b: all traffic")
    'delivery dlv_…469b: all traffic'
    """
    return ID.sub(lambda match: short(match[0]), text)


def sentence(text: str) -> str:
    """`text` as a sentence that another can follow: with a full stop where it has no end of its own.

    >>> sentence("How late flights left"), sentence("Why?"), sentence("")
    ('How late flights left.', 'Why?', '')
    """
    return text if not text or text[-1] in ".!?:…" else text + "."


def plural(count: int, noun: str, many: str = "") -> str:
    """A count with its noun.

    >>> plural(1, "model"), plural(1200, "model"), plural(2, "policy", "policies")
    ('1 model', '1,200 models', '2 policies')
    """
    return f"{count:,} {noun if count == 1 else many or noun + 's'}"


def points(values: Sequence[float | None], width: float, height: float) -> str:
    """The corners of a sparkline in a box of that size; gaps are left out, a flat line runs in the middle.

    >>> points([1, 2, 3], 80, 20)
    '1.0,18.0 40.0,10.0 79.0,2.0'
    """
    known = [value for value in values if value is not None and math.isfinite(value)]
    if not known:
        return ""
    low, high = min(known), max(known)
    step = (width - 2) / max(len(values) - 1, 1)
    return " ".join(
        f"{1 + i * step:.1f},{height - 2 - ((v - low) / (high - low) if high > low else 0.5) * (height - 4):.1f}"
        for i, v in enumerate(values)
        if v is not None and math.isfinite(v)
    )


FILTERS = {
    "number": number, "signed": signed, "percent": percent, "span": span, "age": age, "ago": ago, "exact": exact,
    "day": day, "size": size, "short": short, "plural": plural, "points": points, "iso": iso,
    "brief": brief, "listed": listed, "sentence": sentence,
}  # fmt: skip
"""The filters of every template, by name."""
