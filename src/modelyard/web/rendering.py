"""Templates: the environment, its filters and globals, and the check that a template asks only for what its page gives.

Owns how a context becomes HTML. Every value is escaped, and a name that is not there is an error, not an empty text.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, get_type_hints

import msgspec
from jinja2 import BaseLoader, ChoiceLoader, Environment, PackageLoader, PrefixLoader, StrictUndefined, meta
from markupsafe import Markup, escape

from modelyard.core.clock import Instant
from modelyard.web.assets import Assets
from modelyard.web.charts import drawn, spec_json
from modelyard.web.frame import Frame
from modelyard.web.pages import Page, unknown_names
from modelyard.web.words import FILTERS, ID, short

KNOWN = ("frame", "ui", "asset")
MACROS = "web/macros.html"


class Templates:
    """The templates of all components, ready to be filled."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment

    def shown(self, template: str, context: msgspec.Struct, frame: Frame) -> str:
        """The page's HTML. Its template sees the context's fields, `frame`, `ui` and `asset`."""
        ui = self._environment.get_template(MACROS).make_module({"frame": frame})
        fields = {name: getattr(context, name) for name in context.__struct_fields__}
        return self._environment.get_template(template).render({**fields, "frame": frame, "ui": ui})

    def check(self, item: Page) -> None:
        """Raises TypeError where the page answers no struct or its template asks for a name that the struct does not have."""
        context = get_type_hints(item.function).get("return")
        if not (isinstance(context, type) and issubclass(context, msgspec.Struct)):
            raise TypeError(f"the page {item.path} must answer one frozen struct, not {context}")
        loader = self._environment.loader
        assert loader is not None  # `templates` gives one
        source, _, _ = loader.get_source(self._environment, item.template)
        used = meta.find_undeclared_variables(self._environment.parse(source))
        if unknown := unknown_names(used, context, (*KNOWN, *self._environment.globals)):
            raise TypeError(f"{item.template} asks for {', '.join(unknown)}, which {context.__name__} does not have")


def templates(assets: Assets, pages: Iterable[Page], more: Mapping[str, BaseLoader] | None = None) -> Templates:
    """The templates that `pages` name, each read from the component that its first word names, and those of the shell.

    `more` holds further loaders, by first word.
    """
    pages = tuple(pages)
    components = {item.template.partition("/")[0] for item in pages} | {"web"}
    loaders: dict[str, BaseLoader] = {
        name: PackageLoader(f"modelyard.{name}", f"templates/{name}") for name in components - set(more or {})
    }
    environment = Environment(
        loader=ChoiceLoader([PrefixLoader({**loaders, **(more or {})})]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    filters: dict[str, Any] = {**FILTERS, "drawn": drawn, "spec_json": spec_json, "said": said_over(pages), "breakable": breakable}
    environment.filters.update(filters)
    environment.globals["asset"] = assets.url
    return Templates(environment)


def said_over(pages: Iterable[Page]) -> Callable[[object], Markup]:
    """The filter `said`: a text with the long ids in it shortened, each leading to the page that shows what it names.

    >>> said_over([])("<b> of dlv_01a20d08e23270009340d3b9bcd2469b")
    Markup('&lt;b&gt; of <span class="mono id" title="dlv_01a20d08e23270009340d3b9bcd2469b">dlv_…469b</span>')
    """
    paths = {item.ids: item.path.partition("{")[0] for item in pages if item.ids}

    def shown(match: re.Match[str]) -> Markup:
        path = paths.get(match[1] or "")
        if path is None:
            return Markup('<span class="mono id" title="{}">{}</span>').format(match[0], short(match[0]))
        return Markup('<a class="mono id" href="{}{}" title="{}">{}</a>').format(path, match[0], match[0], short(match[0]))

    def said(text: object) -> Markup:
        if isinstance(text, Markup):  # a part that a macro drew
            return text
        plain, at, pieces = str(text), 0, []
        for match in ID.finditer(plain):
            pieces += [escape(plain[at : match.start()]), shown(match)]
            at = match.end()
        return Markup().join([*pieces, escape(plain[at:])])

    return said


def breakable(name: str) -> Markup:
    """A name that may go on in the next line after each of its parts: a browser breaks it anywhere else.

    >>> breakable("delays_7d/<b>")
    Markup('delays_<wbr>7d/<wbr>&lt;b&gt;')
    """
    return Markup("<wbr>").join(escape(part) for part in re.split(r"(?<=[_./-])(?=[^_./-])", name))


def bare_frame(title: str, at: Instant) -> Frame:
    """A frame without a viewer, for pages outside a request: exports and tests."""
    return Frame(title=title, path="/", now=at, wall=at)
