"""`yard gateway`."""

from typing import Annotated

from cyclopts import Parameter

from modelyard.server.commands.words import Data, Host, Json, Login, Port, settings_of
from modelyard.server.roles.gateway import run_gateway


def gateway(  # noqa: PLR0913 - each is a word of the command line
    *,
    data: Data = None,
    host: Host = None,
    port: Port = None,
    server_url: Annotated[str | None, Parameter(help="Where the control plane answers.")] = None,
    login: Login = True,
    json: Json = False,
) -> int:
    """The data plane alone: it asks the control plane what to serve, and goes on without it.

    Example: yard gateway --port 7701 --server-url http://yard.example.com:7700
    """
    words = {"data": data, "gateway.host": host, "gateway.port": port, "gateway.server_url": server_url}
    return run_gateway(settings_of(words, login=login), as_json=json)
