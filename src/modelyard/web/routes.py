"""Pages and actions as Litestar routes. Owns negotiation (HTML or the context as JSON), forms and what follows them.

Access is checked before a request arrives here; the composition root says who may reach which path.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import msgspec
from litestar import Request, Response, route
from litestar.handlers import HTTPRouteHandler

from modelyard.core.errors import Kind, ModelyardError
from modelyard.web import forms
from modelyard.web.binding import Binding, Resources, bound, called, converted, gathered, is_gathered, is_many, pooled
from modelyard.web.faults import Fault, fault_of
from modelyard.web.frame import THEMES, Frame, Note, Shell
from modelyard.web.http import JSON, RequestValues, described, error_response, litestar_path
from modelyard.web.live import STREAM
from modelyard.web.pages import Action, Done, Page, rail
from modelyard.web.rendering import Templates

HTML = "text/html"
LARGEST_FORM = 100_000
LARGEST_CHOICE = 10_000
"""Anybody may post a theme, and a form is parsed where every other request is waited for."""

PRIVATE = {"Cache-Control": "no-store", "Vary": "Accept, Cookie"}


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """What every page and action needs at a request: the shell, the templates, the resources and what is injected."""

    shell: Shell
    templates: Templates
    resources: Resources
    injectable: frozenset[type]
    request_values: RequestValues


def page_routes(site: Site, pages: Iterable[Page], actions: Iterable[Action] = ()) -> list[HTTPRouteHandler]:
    """The routes of `pages` and `actions`, and of the theme switch. Raises TypeError where an action's declaration does not fit.

    Whether each template fits its page is for a test: to parse them all took longer than the rest of a server's start.
    """
    handlers = [_page_route(site, item) for item in pages]
    handlers += [_action_route(site, item) for item in actions]
    return [*handlers, theme_route()]


def theme_route() -> HTTPRouteHandler:
    """The route that keeps a browser's theme; it changes nothing else, so it needs no token."""

    async def theme(request: Request[Any, Any, Any]) -> Response[Any]:
        chosen = str((await request.form()).get("theme", "system"))
        answer = forms.sent_to(request, forms.came_from(request))
        kept = chosen if chosen in THEMES else "system"
        answer.set_cookie(forms.cookie(request, forms.THEME, kept, forms.THEME_AGE_S))
        return answer

    return route(
        "/preferences/theme",
        http_method=["POST"],
        name="web.theme",
        include_in_schema=False,
        status_code=303,
        request_max_body_size=LARGEST_CHOICE,
    )(theme)


def wants_json(request: Request[Any, Any, Any]) -> bool:
    """Whether the caller asked for JSON and not for HTML; a browser always names HTML."""
    accept = request.headers.get("accept", "")
    return "text/html" not in accept and JSON in accept


def frame_of(request: Request[Any, Any, Any], shell: Shell, title: str, *, is_counted: bool = True) -> Frame:
    """The frame around a page as this request sees it. Counting what waits in each room may ask the database."""
    counts = dict(shell.counts(request)) if is_counted else {}
    position = shell.position() if shell.position else None
    path = request.url.path
    return Frame(
        title=title,
        path=path,
        now=shell.clock.now(),
        wall=shell.clock.wall(),
        theme=forms.theme_of(request),
        viewer=shell.viewer(request),
        csrf=shell.csrf(request),
        notes=forms.notes_of(request),
        rail=rail(shell.pages, path, counts),
        place=shell.place,
        version=shell.version,
        asked=request.query_params.get("q", "") if path == "/search" else "",
        live_url=STREAM if position is not None else "",
        live_after=0 if position is None else position,
    )


def page_answer(request: Request[Any, Any, Any], html: str, status: int = 200) -> Response[Any]:
    """An HTML answer that no cache keeps; a note that it showed is not shown again."""
    answer: Response[Any] = Response(html, status_code=status, media_type=HTML, headers=dict(PRIVATE))
    if forms.NOTES in request.cookies:
        answer.set_cookie(forms.cookie(request, forms.NOTES, "", 0))
    return answer


def fault_handler(shell: Shell, templates: Templates) -> Callable[[Request[Any, Any, Any], Any], Response[Any]]:
    """The exception handler of pages, for the whole application too: a page for people, the one JSON shape for programs.

    A person who is not logged in is sent to log in, and comes back afterwards.
    """

    def answered(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
        body, status = described(error)
        if "text/html" not in request.headers.get("accept", ""):
            return error_response(body, status, error.retry_after_s if isinstance(error, ModelyardError) else 1)
        if status == 401 and request.method in ("GET", "HEAD"):
            path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
            return forms.sent_to(request, "/login?" + urlencode({"next": path}))
        fault = fault_of(body, status, request.url.path, shell.request_id())
        return page_answer(request, templates.shown(Fault.TEMPLATE, fault, frame_of(request, shell, fault.title, is_counted=False)), status)

    return answered


def _faults(site: Site) -> dict[int | type[Exception], Callable[[Request[Any, Any, Any], Any], Response[Any]]]:
    return {Exception: fault_handler(site.shell, site.templates)}


def _page_route(site: Site, item: Page) -> HTTPRouteHandler:
    binding = bound(item.function, item.path, site.injectable)

    async def shown(request: Request[Any, Any, Any]) -> Response[Any]:
        given = _arguments(binding, request.path_params, request.query_params.dict())
        # The frame comes first: a change between it and the reading of the context is then announced, not missed.
        frame = await pooled(site.resources.pool, lambda: frame_of(request, site.shell, item.title))
        context = await called(binding, site.resources, site.request_values(request), given)
        if wants_json(request):
            return Response(msgspec.json.encode(context), media_type=JSON, headers=dict(PRIVATE))
        html = await pooled(site.resources.pool, lambda: site.templates.shown(item.template, context, frame))
        return page_answer(request, html)

    faults = _faults(site)
    name = f"page.{item.path}"
    return route(
        litestar_path(item.path),
        http_method=["GET", "HEAD"],
        name=name,
        include_in_schema=False,
        status_code=200,
        exception_handlers=faults,
    )(shown)


def _action_route(site: Site, item: Action) -> HTTPRouteHandler:
    binding = bound(item.function, item.path, site.injectable)

    async def done(request: Request[Any, Any, Any]) -> Response[Any]:
        form = (await request.form()).dict()
        forms.check_token(str((form.pop("csrf", None) or [""])[-1]), site.shell.csrf(request))
        try:
            given = _arguments(binding, request.path_params, form)
            answer: Done = await called(binding, site.resources, site.request_values(request), given)
        except ModelyardError as error:
            if error.kind is Kind.INTERNAL:
                raise
            return forms.sent_to(request, forms.came_from(request), Note("bad", error.message, error.hint))
        return forms.sent_to(request, answer.to, Note(answer.kind, answer.said) if answer.said else None)

    faults = _faults(site)
    return route(
        litestar_path(item.path),
        http_method=["POST"],
        name=f"action.{item.path}",
        include_in_schema=False,
        status_code=303,
        request_max_body_size=LARGEST_FORM,
        exception_handlers=faults,
    )(done)


def _arguments(binding: Binding, path: Mapping[str, Any], given: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """The function's arguments from the path and from a query or a form. A field left empty counts as not given.

    A parameter whose type is a struct takes its fields from the query by their names.
    """
    structs = {name: gathered(binding.hints[name], given) for name in binding.wire if is_gathered(binding.hints[name])}
    wire = {}
    for name, parameter in binding.wire.items():
        values = [value for value in given.get(name, ()) if value != "" or parameter.default is parameter.empty]
        if values and name not in structs:
            wire[name] = values if is_many(binding.hints[name]) else values[-1]
    _check_complete(binding, {*wire, *structs})
    return {**converted(path, binding.path, "path"), **converted(wire, binding.hints, "query"), **structs}


def _check_complete(binding: Binding, found: Collection[str]) -> None:
    missing = [name for name, parameter in binding.wire.items() if parameter.default is parameter.empty and name not in found]
    if missing:
        raise forms.FieldIsMissing(f"{' and '.join(missing)} must be given", hint="fill it in and send it again")
