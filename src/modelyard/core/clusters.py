"""The address of a Ray cluster, as `worker.ray` and `features.ray` have it, and whether somebody answers there. Owns no connection."""

import importlib.util
import socket

AUTO = "auto"
CLIENT = "ray://"
TIMEOUT_S = 2.0


def is_installed() -> bool:
    """Whether Ray can be imported, without doing that."""
    return importlib.util.find_spec("ray") is not None


def refusal(address: str) -> str:
    """Why nobody can be reached there; empty where somebody answers, and for `auto`, which is for Ray to resolve."""
    if address == AUTO:
        return ""
    host, _, port = address.removeprefix(CLIENT).rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65_535:
        return "it is neither auto nor HOST:PORT nor ray://HOST:PORT"
    try:
        socket.create_connection((host.strip("[]"), int(port)), TIMEOUT_S).close()
    except OSError as error:
        return str(error)
    return ""
