"""`yard worker`."""

from modelyard.server.commands.words import Data, Json, settings_of
from modelyard.server.roles.worker import run_worker


def worker(*, data: Data = None, json: Json = False) -> int:
    """A worker alone; as many as you like may share a database.

    Example: yard worker
    """
    return run_worker(settings_of({"data": data}, login=True), as_json=json)
