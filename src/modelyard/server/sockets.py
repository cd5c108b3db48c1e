"""The sockets that roles listen at. Owns what an address that cannot be bound is called; serves nothing."""

import errno
import socket

from modelyard.core.errors import InvalidInput, Kind, ModelyardError


class PortTaken(ModelyardError):
    """Another process listens there."""

    kind = Kind.CONFLICT


class CannotListen(InvalidInput):
    """The address is none that this process may listen at."""


def bound_socket(host: str, port: int) -> socket.socket:
    """A socket that listens at `host`:`port`; port 0 takes a free one. Raises PortTaken and CannotListen."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((host.strip("[]"), port))
    except OSError as error:
        found.close()
        said = f"{host}:{port} cannot be bound: {error.strerror}"
        if error.errno == errno.EADDRINUSE:
            raise PortTaken(
                said, hint="stop what listens there, or choose another --port, or --gateway-port for the gateway of yard up"
            ) from error
        raise CannotListen(said, hint="name an address of this machine with --host, and a --port from 1024 on") from error
    except (OverflowError, UnicodeError) as error:
        found.close()
        raise CannotListen(
            f"{host}:{port} is no address: {error}", hint="name one of this machine with --host, and a --port up to 65535"
        ) from error
    found.listen(2048)
    return found
