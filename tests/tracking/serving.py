"""A tracking server as a process of its own: `python -m tests.tracking.serving DATABASE_URL BLOBS_URL`. Says its port, then serves."""

import asyncio
import socket
import sys

import uvicorn

from modelyard.core.clock import SystemClock
from modelyard.storage.blobs import Blobs
from modelyard.storage.database import Database
from modelyard.tracking.wire.app import mlflow_app
from tests.tracking.conftest import authenticate


def main() -> None:
    """Serves until it is killed."""
    app = mlflow_app(Database.open(sys.argv[1], SystemClock()), Blobs.open(sys.argv[2]), authenticate)
    listener = socket.socket(proto=socket.IPPROTO_TCP)  # so that asyncio sends answers at once
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    sys.stdout.write(f"{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    config = uvicorn.Config(app, log_level="critical", lifespan="off", access_log=False)
    asyncio.run(uvicorn.Server(config).serve(sockets=[listener]))


if __name__ == "__main__":
    main()
