"""`yard up` and the single roles: settings from the words, then the server's own start."""

import os
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from modelyard.core.settings import FILE, Settings, read_settings
from modelyard.server.roles import run_gateway, run_server, run_up, run_worker

Data = Annotated[str | None, Parameter(name="--data", help="The data folder; .yard unless the settings name another.")]
Host = Annotated[str | None, Parameter(name="--host", help="The address to bind to.")]
Port = Annotated[int | None, Parameter(help="The port to bind to.")]
Login = Annotated[bool, Parameter(show_default=False, help="--no-login asks nobody who they are; on loopback only.")]
Json = Annotated[bool, Parameter(name="--json", negative="", show_default=False, help="What is ready, as one JSON document.")]


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
    return run_up(_settings(words, login=login), as_json=json)


def server(*, data: Data = None, host: Host = None, port: Port = None, login: Login = True, json: Json = False) -> int:
    """The control plane alone: interface, pages, MLflow's wire.

    Example: yard server --port 7700
    """
    return run_server(_settings({"data": data, "server.host": host, "server.port": port}, login=login), as_json=json)


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
    return run_gateway(_settings(words, login=login), as_json=json)


def worker(*, data: Data = None, json: Json = False) -> int:
    """A worker alone; as many as you like may share a database.

    Example: yard worker
    """
    return run_worker(_settings({"data": data}, login=True), as_json=json)


def _settings(words: dict[str, Any], *, login: bool) -> Settings:
    given = {name: value for name, value in words.items() if value is not None}
    return read_settings(Path(FILE), os.environ, given if login else {**given, "login": False})
