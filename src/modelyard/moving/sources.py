"""Which source an address means, and the name under which what comes from it is remembered."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

import msgspec

from modelyard.core.errors import InvalidInput
from modelyard.moving.databases import opened, sqlite_path
from modelyard.moving.domain import Source
from modelyard.moving.folders import FolderFiles, usual_folders
from modelyard.moving.mlflow_database import DatabaseSource, Files
from modelyard.moving.mlflow_server import ServerSource
from modelyard.moving.reached import Login, Reached
from modelyard.tracking.imports import SourceName

SERVERS = ("http", "https")


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """Where MLflow is: a server's address or a database's; `artifacts` is a folder or a server that has its files, where it is neither."""

    url: str
    artifacts: str = ""
    login: Login = Login()


@contextlib.contextmanager
def opened_source(address: Address) -> Iterator[Source]:
    """The source at an address, while the block runs. Raises InvalidInput, SourceUnreachable, SourceOdd."""
    with contextlib.ExitStack() as stack:
        if urlsplit(address.url).scheme in SERVERS:
            yield stack.enter_context(contextlib.closing(_server(address.url, address.login)))
            return
        database = stack.enter_context(contextlib.closing(opened(address.url)))
        yield DatabaseSource(database, _files(address, stack))


def _files(address: Address, stack: contextlib.ExitStack) -> Files:
    if urlsplit(address.artifacts).scheme in SERVERS:
        return stack.enter_context(contextlib.closing(_server(address.artifacts, address.login)))
    if address.artifacts:
        folder = Path(unquote(urlsplit(address.artifacts).path) if address.artifacts.startswith("file:") else address.artifacts)
        if not folder.is_dir():
            raise InvalidInput(f"{folder} is no folder", hint="name the folder in which MLflow keeps artifacts, or its server")
        return FolderFiles([folder], is_told=True)
    # The folder that the database lies in may be a home with everything in it, and the database somebody else's.
    near = usual_folders(sqlite_path(address.url).resolve().parent) if address.url.startswith("sqlite") else []
    return FolderFiles(near, is_told=False)


def _server(url: str, login: Login) -> ServerSource:
    parts = urlsplit(url)
    if not parts.hostname:
        raise InvalidInput(f"{url[:80]!r} is no address of a server", hint="write it like https://mlflow.example.com")
    if parts.username:
        login = Login(name=unquote(parts.username), password=unquote(parts.password or ""))
    return ServerSource(Reached(_without_login(parts), login))


def _without_login(parts: SplitResult) -> str:
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl().rstrip("/")


def source_name(url: str) -> SourceName:
    """The name of a source: its address without credentials, a SQLite file by its absolute path.

    >>> source_name("postgresql://ann:secret@db.example.com/mlflow")
    'postgresql://db.example.com/mlflow'
    """
    if url.startswith("sqlite"):
        return SourceName(f"sqlite:///{sqlite_path(url).resolve()}")
    return SourceName(_without_login(urlsplit(url)))
