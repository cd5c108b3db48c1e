"""The gateway's routes: what it answers at all, and what it answers without a token. Owns the list; the app owns the answers."""

from collections.abc import Sequence

import msgspec


class GatewayRoute(msgspec.Struct, frozen=True):
    """A method and a path's template; `is_public` where nobody is asked for a token."""

    method: str
    template: str
    is_public: bool = False


ROUTES: tuple[GatewayRoute, ...] = (
    GatewayRoute("GET", "/healthz", is_public=True),
    GatewayRoute("GET", "/readyz", is_public=True),
    GatewayRoute("GET", "/v2/health/live", is_public=True),
    GatewayRoute("GET", "/v2/health/ready", is_public=True),
    GatewayRoute("GET", "/metrics"),
    GatewayRoute("GET", "/v2"),
    GatewayRoute("GET", "/v2/models/{model}"),
    GatewayRoute("GET", "/v2/models/{model}/ready"),
    GatewayRoute("GET", "/v2/models/{model}/versions/{version}"),
    GatewayRoute("GET", "/v2/models/{model}/versions/{version}/ready"),
    GatewayRoute("POST", "/predict/{model}"),
    GatewayRoute("POST", "/invocations/{model}"),
    GatewayRoute("POST", "/v2/models/{model}/infer"),
    GatewayRoute("POST", "/v2/models/{model}/versions/{version}/infer"),
    GatewayRoute("POST", "/features/{set}"),
    GatewayRoute("POST", "/labels/{model}"),
)

PUBLIC = frozenset(route.template for route in ROUTES if route.is_public)
FIRST_WORDS = frozenset(route.template.split("/")[1] for route in ROUTES)
"""What answers are counted by. A series is for ever, and anybody may ask for any word."""


def template_of(method: str, parts: Sequence[str]) -> str | None:
    """The template of the route that answers `method` at a path of those parts; None where none does.

    >>> template_of("POST", ["v2", "models", "late", "infer"]), template_of("GET", ["v2", "nothing"])
    ('/v2/models/{model}/infer', None)
    """
    first = parts[0] if parts else ""  # of the path `*` there is no part
    for words, template in _BY_SHAPE.get((method, first, len(parts)), ()):
        if not words or all(parts[place] == word for place, word in words):
            return template
    return None


def _by_shape() -> dict[tuple[str, str, int], list[tuple[list[tuple[int, str]], str]]]:
    # By method, first word and length: the other words of a template that are no parameters, and their places.
    found: dict[tuple[str, str, int], list[tuple[list[tuple[int, str]], str]]] = {}
    for route in ROUTES:
        words = route.template.split("/")[1:]
        fixed = [(place, word) for place, word in enumerate(words) if place and not word.startswith("{")]
        found.setdefault((route.method, words[0], len(words)), []).append((fixed, route.template))
    return found


_BY_SHAPE = _by_shape()
