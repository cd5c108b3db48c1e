"""The doors of a browser: login, logout, one-time links, and the forms that answer with a cookie or a secret.

They are handlers of their own because they set cookies or show a token once; all that needs neither is a page or action.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import msgspec
from litestar import Request, Response, route
from litestar.handlers import HTTPRouteHandler

from modelyard.access import service
from modelyard.access.domain import Authenticated, NewSession, NotAuthenticated, Scope, TooManyTries, WeakPassword, WrongPassword
from modelyard.access.domain import TokenOrder as Order
from modelyard.access.middleware import AUTHENTICATED
from modelyard.access.pages import SETTINGS, settings_page
from modelyard.access.passwords import LEAST
from modelyard.access.rules import COOKIE
from modelyard.core.errors import InvalidInput, ModelyardError
from modelyard.storage.database import Database
from modelyard.web import forms
from modelyard.web.frame import Note, Viewer
from modelyard.web.parts import FirstPasswordPage, Link, LoginPage
from modelyard.web.routes import Site, fault_handler, frame_of, page_answer

WebRequest = Request[Any, Any, Any]
Answer = Response[Any]
T = TypeVar("T")

LARGEST_FORM = 10_000
LOGINS_AT_ONCE = 2
FIRST_LINK = "The first start printed a link that opens the first account; a restart prints a new one until it was used."


def found_in(request: WebRequest) -> Authenticated | None:
    """Who makes the request, as the middleware found out; None for nobody."""
    found = request.scope.get("state", {}).get(AUTHENTICATED)
    return found if isinstance(found, Authenticated) else None


def required_in(request: WebRequest) -> Authenticated:
    """Who makes the request. Raises NotAuthenticated for nobody."""
    found = found_in(request)
    if found is None:
        raise NotAuthenticated("nobody is logged in", hint="log in, or send a token: Authorization: Bearer yard_...")
    return found


def csrf_of(request: WebRequest) -> str:
    """The CSRF token that this browser's forms carry; empty for nobody and for tokens."""
    found = found_in(request)
    return found.csrf if found else ""


def viewer_of(request: WebRequest) -> Viewer | None:
    """Who looks, as the frame of a page shows them."""
    found = found_in(request)
    if found is None:
        return None
    roles = sorted({role.value for role in found.principal.roles.values()})
    can_log_out = found.by == "session"
    return Viewer(name=found.principal.name, detail=", ".join(roles), links=(Link("Settings", SETTINGS),), can_log_out=can_log_out)


def address_of(request: WebRequest) -> str:
    """The network address that the request comes from."""
    return request.client.host if request.client else ""


class Doors:
    """The handlers over one site. Hashing passwords has its own few threads, so that guesses hold up nobody's work."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._hashing = ThreadPoolExecutor(LOGINS_AT_ONCE, thread_name_prefix="login")

    @property
    def _database(self) -> Database:
        return self._site.resources.database

    def routes(self) -> list[HTTPRouteHandler]:
        """All of them."""
        return [
            self._route("GET", "/login")(self._show_login),
            self._route("POST", "/login")(self._log_in),
            self._route("POST", "/logout")(self._log_out),
            self._route("GET", "/setup/{secret:str}")(self._show_link),
            self._route("POST", "/welcome")(self._choose),
            self._route("POST", "/settings/password")(self._change),
            self._route("POST", "/settings/tokens")(self._make_token),
        ]

    def _route(self, method: str, path: str) -> Callable[[Callable[[WebRequest], Awaitable[Answer]]], HTTPRouteHandler]:
        fault = fault_handler(self._site.shell, self._site.templates)
        methods = ["GET", "HEAD"] if method == "GET" else ["POST"]
        return route(
            path,
            http_method=methods,  # type: ignore[arg-type]  # Litestar's own literal
            name=f"access.{method} {path}",
            include_in_schema=False,
            status_code=200,
            request_max_body_size=LARGEST_FORM,
            exception_handlers={Exception: fault},
        )

    async def _hashed(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._hashing, work)

    def _shown(self, request: WebRequest, template: str, context: msgspec.Struct, status: int = 200) -> Answer:
        frame = frame_of(request, self._site.shell, "")
        answer = page_answer(request, self._site.templates.shown(template, context, frame), status)
        # The address of a one-time link holds its secret, so nothing that this page asks for may tell it.
        # Not "no-referrer": under that a browser sends its own forms with an origin of "null", and the guard refuses them.
        answer.headers["Referrer-Policy"] = "strict-origin"
        return answer

    def _entered(self, request: WebRequest, new: NewSession, to: str, said: str = "") -> Answer:
        answer = forms.sent_to(request, to, Note("good", said) if said else None)
        answer.set_cookie(forms.cookie(request, COOKIE, new.cookie, new.max_age_s))
        return answer

    # -- in and out --

    async def _show_login(self, request: WebRequest) -> Answer:
        to = forms.local_path(request.query_params.get("next", "/"))
        if found_in(request):
            return forms.sent_to(request, to)
        return self._shown(request, "web/login.html", LoginPage(next=to, hint=FIRST_LINK))

    async def _log_in(self, request: WebRequest) -> Answer:
        given = await fields(request)
        name, password, to = given.get("name", ""), given.get("password", ""), forms.local_path(given.get("next", "/"))
        try:
            new = await self._hashed(lambda: service.login(self._database, name, password, address_of(request)))
        except (NotAuthenticated, TooManyTries) as error:
            status = 401 if isinstance(error, NotAuthenticated) else 429
            answer = self._shown(request, "web/login.html", LoginPage(error=sentence(error), next=to, name=name[:120]), status)
            if isinstance(error, TooManyTries):
                answer.headers["Retry-After"] = str(error.retry_after_s)
            return answer
        return self._entered(request, new, to)

    async def _log_out(self, request: WebRequest) -> Answer:
        found = required_in(request)
        forms.check_token((await fields(request)).get("csrf", ""), found.csrf)
        await asyncio.wrap_future(self._database.submit(lambda tx: service.logout(tx, found)))
        answer = forms.sent_to(request, "/login")
        answer.set_cookie(forms.cookie(request, COOKIE, "", 0))
        return answer

    # -- one-time links --

    async def _show_link(self, request: WebRequest) -> Answer:
        secret = str(request.path_params["secret"])
        name = await asyncio.wrap_future(self._site.resources.pool.submit(self._link_name, secret))
        return self._shown(request, "web/first_password.html", FirstPasswordPage(name=name, token=secret, least=LEAST))

    def _link_name(self, secret: str) -> str:
        with self._database.read() as snapshot:
            return service.get_link(snapshot, secret).name

    async def _choose(self, request: WebRequest) -> Answer:
        given = await fields(request)
        secret, password = given.get("token", ""), given.get("password", "")
        try:
            check_same(password, given.get("again", ""))
            new = await self._hashed(lambda: service.choose_password(self._database, secret, password, address_of(request)))
        except (WeakPassword, InvalidInput) as error:
            name = await asyncio.wrap_future(self._site.resources.pool.submit(self._link_name, secret))
            context = FirstPasswordPage(name=name, token=secret, error=sentence(error), least=LEAST)
            return self._shown(request, "web/first_password.html", context, 400)
        return self._entered(request, new, "/")

    # -- settings --

    async def _change(self, request: WebRequest) -> Answer:
        found, given = required_in(request), await fields(request)
        forms.check_token(given.get("csrf", ""), found.csrf)
        current, password = given.get("current", ""), given.get("password", "")
        try:
            check_same(password, given.get("again", ""))
            new = await self._hashed(
                lambda: service.change_password(self._database, found.principal, current, password, address_of(request))
            )
        except (WeakPassword, WrongPassword, TooManyTries, InvalidInput) as error:
            return forms.sent_to(request, SETTINGS, Note("bad", error.message, error.hint))
        return self._entered(request, new, SETTINGS, "The password is changed. Everywhere else you are logged out.")

    async def _make_token(self, request: WebRequest) -> Answer:
        found, given = required_in(request), await fields(request)
        forms.check_token(given.get("csrf", ""), found.csrf)
        try:
            scopes = tuple(scope for scope in Scope if f"scope-{scope}" in given)
            order = Order(name=given.get("name", "").strip(), scopes=scopes, expires_in=given.get("expires_in", "90d"))
            made = await asyncio.wrap_future(self._database.submit(lambda tx: service.create_token(tx, found.principal, order)))
        except ModelyardError as error:
            return forms.sent_to(request, SETTINGS, Note("bad", error.message, error.hint))

        def read() -> msgspec.Struct:
            with self._database.read() as snapshot:
                return settings_page(snapshot, found.principal, made)

        # The secret is shown in the answer itself: sent on through a cookie it would be written down where it does not belong.
        context = await asyncio.wrap_future(self._site.resources.pool.submit(read))
        return self._shown(request, "access/settings.html", context, 201)


async def fields(request: WebRequest) -> Mapping[str, str]:
    """The texts of a posted form by name; of fields given twice the last."""
    return {name: str(value) for name, value in (await request.form()).multi_items() if isinstance(value, str)}


def check_same(password: str, again: str) -> None:
    """Raises InvalidInput unless both fields hold the same."""
    if password != again:
        raise InvalidInput("the two fields do not hold the same password", hint="type it again in both")


def sentence(error: ModelyardError) -> str:
    """An error as one line of a page: what, and what next."""
    return f"{error.message[:1].upper()}{error.message[1:]}; {error.hint}." if error.hint else error.message
