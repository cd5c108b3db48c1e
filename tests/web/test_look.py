"""The style sheet: contrast that WCAG AA asks for, in both themes, and no class that nobody styles."""

import re
from pathlib import Path

import pytest

from modelyard.web.assets import STATIC
from modelyard.web.tokens import colours, resolved

TEXT, SHAPE = 4.5, 3.0
SURFACES = ("paper", "card", "sunk")
PAIRS = [
    *((ink, surface, TEXT) for ink in ("ink", "ink-2", "ink-3", "accent", "good", "warn", "bad") for surface in SURFACES),
    *((name, f"{name}-soft", TEXT) for name in ("accent", "good", "warn", "bad")),
    *((ink, f"{name}-soft", TEXT) for ink in ("ink", "ink-2") for name in ("accent", "good", "warn", "bad")),
    *(("card", fill, TEXT) for fill in ("accent", "accent-deep", "bad")),
    *((f"series-{i}", surface, TEXT) for i in range(1, 9) for surface in ("card", "paper")),
    *((f"ramp-{i}", "card", SHAPE) for i in range(1, 6)),
    *(("edge", surface, SHAPE) for surface in SURFACES),
    *((f"series-{i}", "band", SHAPE) for i in range(1, 5)),
    ("ink-3", "accent-soft", TEXT),
]
TEMPLATES = sorted(STATIC.parents[1].glob("*/templates/**/*.html"))
CSS = "\n".join(path.read_text() for path in sorted((STATIC / "css").glob("*.css")))


def luminance(colour: str) -> float:
    """Relative luminance by WCAG 2.2."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours by WCAG 2.2."""
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_the_formula_is_the_standards() -> None:
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("is_dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize(("front", "back", "least"), PAIRS)
def test_a_pair_of_tokens_can_be_told_apart(front: str, back: str, least: float, *, is_dark: bool) -> None:
    ratio = contrast(colours()[front][is_dark], colours()[back][is_dark])
    assert ratio >= least, f"{front} on {back}: {ratio:.2f}"


def test_a_colour_is_said_in_the_tokens_and_nowhere_else() -> None:
    others = "\n".join(path.read_text() for path in sorted((STATIC / "css").glob("*.css")) if not path.name.startswith("1-"))
    without_print = others.partition("@media print")[0]
    assert re.findall(r"(?<![\w&])#[0-9a-f]{3,8}\b", without_print.replace("#000 3px", "")) == []


def test_every_token_in_use_exists() -> None:
    known = set(re.findall(r"--([\w-]+):", CSS))
    charts = (STATIC.parent / "charts.py").read_text()
    assert set(re.findall(r"var\(--([\w-]+)", CSS + charts)) - {"series-{index % COLOURS + 1}"} <= known | {"series-"}
    assert "var(" not in resolved('fill="var(--ink)" stroke="var(--series-2)"')


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_every_class_that_a_template_gives_is_styled(path: Path) -> None:
    text = re.sub(r"{%.*?%}|{{.*?}}", "\0", path.read_text())
    given = {name for value in re.findall(r'class="([^"]*)"', text) for name in value.replace("\0", " ").split()}
    styled = set(re.findall(r"\.([a-z][\w-]*)", CSS)) | {"of-", "pin-", "stick-"}
    assert given <= styled


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_no_template_has_what_the_policy_refuses(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"\sstyle=|<style|javascript:", text)
    assert not re.search(r"<[^>{]*\son\w+=", text)
    assert not re.search(r"<script(?![^>]*(src=|application/json))", text)
