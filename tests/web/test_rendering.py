"""Templates: nothing hostile comes through, and a template asks only for what its page gives."""

import html.parser
import json
import re
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import DictLoader, FileSystemLoader, UndefinedError
from markupsafe import escape

from modelyard.server.surface import PAGES as PRODUCT_PAGES
from modelyard.web.assets import load_assets
from modelyard.web.charts import Chart, Plane, Point, Series, lines
from modelyard.web.frame import Frame, Note, Viewer
from modelyard.web.pages import Page, for_ids, page
from modelyard.web.parts import Chip, Link, Moment, Pager, Step
from modelyard.web.rendering import Templates, bare_frame, said_over, templates
from modelyard.web.words import ID
from tests.web.gallery import PAGES, TEMPLATES
from tests.web.gallery_data import NOW

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"' onmouseover='alert(3)"
MACROS = Path(__file__).parents[2] / "src/modelyard/web/templates/web/macros.html"
EVERYWHERE = """
{{ ui.state("good", text) }}{{ ui.state(text, text, href=text) }}{{ ui.tag(text, text) }}{{ ui.ref(text, href=text) }}{{ ui.ref(text) }}
{{ ui.fact(text, text, text, text, text, text) }}{{ ui.note("bad", text, text, text) }}{{ ui.empty(text, text, text, text, text) }}
{{ ui.field(text, text, text, text, text, text, placeholder=text) }}{{ ui.field(text, text, text, type="textarea") }}
{{ ui.check(text, text, hint=text) }}
{{ ui.th(text, sort=text, by=text) }}{{ ui.sparkline((1, 2), text, text) }}{{ ui.meter(0.5, text, text) }}{{ ui.code(text) }}
{{ ui.dd(text, text, text) }}{{ ui.legend(((text, text),)) }}{{ ui.chips((chip,)) }}{{ ui.pager(pager) }}{{ ui.crumbs((link,)) }}
{{ ui.steps((step,)) }}{{ ui.timeline((moment,)) }}{{ ui.chart(chart) }}
{% call ui.card(text, text, text, text, text, text) %}{{ text }}{% endcall %}{% call ui.form(text, text, text) %}{{ text }}{% endcall %}
{% call ui.table(text, (ui.th(text),)) %}{% endcall %}{{ ui.confirm(text, text, text, text, text, text, text) }}
"""


class Hostile(msgspec.Struct, frozen=True, kw_only=True):
    """A context in which every text is hostile."""

    text: str
    chip: Chip
    link: Link
    pager: Pager
    step: Step
    moment: Moment
    chart: Chart


class Elements(html.parser.HTMLParser):
    """The elements of a document, with their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Notes an element."""
        self.found.append((tag, dict(attributes)))


def show() -> Hostile:
    """Shows it."""
    raise NotImplementedError


def made(source: str) -> Templates:
    """Templates among which `x/a.html` has this source."""
    return templates(load_assets(), [page("/", show, "x/a.html")], {"x": DictLoader({"a.html": source})})


def hostile(text: str) -> Hostile:
    """A context in which every text is `text`."""
    series = (Series(name=text, points=[Point(0, 1), Point(1, 2)]),)
    return Hostile(
        text=text, chip=Chip(text, text, 1), link=Link(text, text), pager=Pager(said=text, first=text, next=text),
        step=Step(name=text, text=text, href=text), moment=Moment(at=NOW, title=text, text=text, href=text),
        chart=lines(text, series, Plane(x=text, y=text, is_time=False)),
    )  # fmt: skip


def test_a_hostile_text_stays_a_text_in_every_macro() -> None:
    shown = made(EVERYWHERE).shown("x/a.html", hostile(HOSTILE), bare_frame("x", NOW))
    elements = Elements()
    elements.feed(shown)
    assert not [tag for tag, attributes in elements.found if tag == "img" or any(name.startswith("on") for name in attributes)]
    assert [attributes for tag, attributes in elements.found if tag == "script"] == [{"type": "application/json"}]
    assert "<script>alert" not in shown


def test_a_hostile_text_stays_a_text_in_the_frame() -> None:
    viewer = Viewer(name=HOSTILE, detail=HOSTILE, links=(Link(HOSTILE, HOSTILE),))
    frame = Frame(
        title=HOSTILE, path=HOSTILE, now=NOW, wall=NOW, theme="light", csrf=HOSTILE, notes=(Note("bad", HOSTILE, HOSTILE),),
        place=HOSTILE, version=HOSTILE, asked=HOSTILE, live_url=HOSTILE, viewer=viewer,
    )  # fmt: skip
    shown = made('{% extends "web/base.html" %}').shown("x/a.html", hostile("x"), frame)
    elements = Elements()
    elements.feed(shown)
    assert not [tag for tag, attributes in elements.found if tag == "img" or any(name.startswith("on") for name in attributes)]
    assert all(str(attributes.get("src")).startswith("/assets/") for tag, attributes in elements.found if tag == "script")


@given(st.text())
def test_the_specification_in_a_page_reads_back_as_it_was(text: str) -> None:
    chart = hostile("x").chart
    changed = msgspec.structs.replace(chart, spec={"text": text})
    shown = made("{{ chart|spec_json }}").shown("x/a.html", msgspec.structs.replace(hostile("x"), chart=changed), bare_frame("x", NOW))
    assert json.loads(shown) == {"text": text}
    assert not set(shown) & set("<>&\u2028\u2029")


def test_a_name_that_the_context_lacks_is_found_before_the_page_is_shown() -> None:
    with pytest.raises(TypeError, match=r"x/a.html asks for modle, which Hostile does not have"):
        made("{{ text }}{{ modle }}{{ ui.mark() }}{{ frame.title }}").check(page("/", show, "x/a.html"))


def test_a_page_that_answers_no_struct_is_refused() -> None:
    def answers_a_dict() -> dict[str, str]:
        return {}

    with pytest.raises(TypeError, match="must answer one frozen struct"):
        made("").check(page("/", answers_a_dict, "x/a.html"))


def test_an_unknown_attribute_is_an_error_and_no_empty_text() -> None:
    with pytest.raises(UndefinedError):
        made("{{ text.nothing_like_it }}").shown("x/a.html", hostile("x"), bare_frame("x", NOW))


def test_every_macro_is_drawn_in_the_gallery_or_in_the_shell() -> None:
    names = set(re.findall(r"{% macro (\w+)\(", MACROS.read_text()))
    sources = [*TEMPLATES.glob("*.html"), *MACROS.parent.glob("*.html")]
    used = {name for path in sources for name in re.findall(r"(?:ui\.|\b)(\w+)\(", re.sub(r"{% macro .*?%}", "", path.read_text()))}
    assert names - used == set()


def test_every_template_of_the_gallery_fits_its_page() -> None:
    all_of_them = templates(load_assets(), PAGES, {"gallery": FileSystemLoader(TEMPLATES)})
    for item in PAGES:
        all_of_them.check(item)


@pytest.fixture(scope="module")
def product() -> Templates:
    """The templates of the product's own pages."""
    return templates(load_assets(), PRODUCT_PAGES)


@pytest.mark.parametrize("item", PRODUCT_PAGES, ids=lambda item: item.path)
def test_every_template_of_the_product_fits_its_page(item: Page, product: Templates) -> None:
    product.check(item)


def test_an_id_in_a_text_is_short_and_leads_to_the_page_of_its_kind() -> None:
    known, other = "dlv_01a20d08e23270009340d3b9bcd2469b", "usr_01a20d08e23270009340d3b9bcd2469b"
    said = said_over([for_ids("dlv", page("/deliveries/{delivery}", list, "delivery/delivery.html"))])
    assert said(f"delivery {known}: canary at 50%") == (
        f'delivery <a class="mono id" href="/deliveries/{known}" title="{known}">dlv_…469b</a>: canary at 50%'
    )
    assert said(other) == f'<span class="mono id" title="{other}">usr_…469b</span>'
    assert said(f"sha256:{'ab' * 32}") == f'<span class="mono id" title="sha256:{"ab" * 32}">sha256:abab…abab</span>'


@given(st.text())
def test_a_text_without_an_id_is_said_as_it_stands_and_escaped(text: str) -> None:
    if not ID.search(text):
        assert said_over([])(text) == escape(text)
    assert "<script" not in said_over([])(HOSTILE + text)
