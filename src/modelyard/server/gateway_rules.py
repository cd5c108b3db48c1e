"""Holds a gateway's routes against the one access table. Loads nothing of the control plane: a gateway is small."""

from collections.abc import Collection

from modelyard.server.access_table import GATEWAY, PUBLIC
from modelyard.serving.gateway.routes import GatewayRoute


def check_gateway_rules(routes: Collection[GatewayRoute]) -> None:
    """Raises TypeError where a gateway's route has no rule, a rule no route, or one is open that the table does not open."""
    check_same({f"{route.method} {route.template}" for route in routes}, GATEWAY)
    wrong = [route for route in routes if route.is_public is not (GATEWAY[f"{route.method} {route.template}"] == PUBLIC)]
    if wrong:
        raise TypeError(f"the access table and the gateway differ about who may ask: {', '.join(route.template for route in wrong)}")


def check_same(found: Collection[str], table: Collection[str]) -> None:
    """Raises TypeError where routes and rules are not the same."""
    missing = sorted(set(found) - set(table)) + sorted(f"{rule} (no such route)" for rule in set(table) - set(found))
    if missing:
        raise TypeError(f"the access table and the routes differ: {', '.join(missing)}")
