"""The colours of the style sheet as values, for what is drawn outside a browser. Owns no colour: the style sheet does."""

import functools
import re

from modelyard.web.assets import STATIC

_PAIR = re.compile(r"--([\w-]+):\s*light-dark\((#[0-9a-f]{6}),\s*(#[0-9a-f]{6})\)")
_USE = re.compile(r"var\(--([\w-]+)\)")


@functools.cache
def colours() -> dict[str, tuple[str, str]]:
    """Every colour token with its value in the light and in the dark theme."""
    text = (STATIC / "css" / "1-tokens.css").read_text("utf-8")
    return {name: (light, dark) for name, light, dark in _PAIR.findall(text)}


def resolved(text: str, *, is_dark: bool = False) -> str:
    """`text` with each `var(--token)` replaced by its colour.

    >>> resolved('fill="var(--card)"')
    'fill="#ffffff"'
    """
    return _USE.sub(lambda match: colours()[match[1]][is_dark], text)
