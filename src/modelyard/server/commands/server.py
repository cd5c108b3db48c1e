"""`yard server`."""

from modelyard.server.commands.words import Data, Host, Json, Login, Port, settings_of
from modelyard.server.roles.server import run_server


def server(*, data: Data = None, host: Host = None, port: Port = None, login: Login = True, json: Json = False) -> int:
    """The control plane alone: interface, pages, MLflow's wire.

    Example: yard server --port 7700
    """
    return run_server(settings_of({"data": data, "server.host": host, "server.port": port}, login=login), as_json=json)
