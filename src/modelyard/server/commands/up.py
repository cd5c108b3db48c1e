"""`yard up`."""

from importlib.util import find_spec
from typing import Annotated

from cyclopts import Parameter

from modelyard.server.commands.words import Data, Host, Json, Login, settings_of
from modelyard.server.roles.up import run_up

if find_spec("litestar") is None:
    # The supervisor itself does without; that its roles cannot is said before a data folder is made.
    raise ModuleNotFoundError("the roles need litestar", name="litestar")


def up(  # noqa: PLR0913 - each is a word of the command line
    *,
    data: Data = None,
    host: Host = None,
    port: Annotated[int | None, Parameter(help="The control plane's port.")] = None,
    gateway_port: Annotated[int | None, Parameter(help="The gateway's port.")] = None,
    login: Login = True,
    json: Json = False,
) -> int:
    """All roles on one machine: control plane, gateway, worker. Ends on Ctrl-C.

    Example: yard up --data .yard --port 7700
    """
    words = {"data": data, "server.host": host, "gateway.host": host, "server.port": port, "gateway.port": gateway_port}
    return run_up(settings_of(words, login=login), as_json=json)
