"""A real gateway as a process: `python gateway_main.py OPTIONS`, where OPTIONS is the JSON of `Options`. Prints its port when bound."""

import sys
from pathlib import Path
from typing import Any

import msgspec

from modelyard.serving.gateway.link import ControlLink, FileLink, HttpLink
from modelyard.serving.gateway.loading import ArtifactLoader
from modelyard.serving.gateway.run import GatewayOptions, run_gateway
from modelyard.storage.blobs import Blobs
from modelyard.storage.online import LmdbStore


class Options(msgspec.Struct, kw_only=True):
    """What a test's gateway runs with: its name, the data folder, and the gateway's options."""

    name: str
    data: str
    options: dict[str, Any]
    control_url: str = ""


def _say(port: int) -> None:
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()


def main() -> None:
    """Runs until it is told to stop."""
    given = msgspec.json.decode(sys.argv[1], type=Options)
    data = Path(given.data)
    options = GatewayOptions(name=given.name, folder=data / "gateways" / given.name, **given.options)
    link: ControlLink = HttpLink(given.control_url, given.name, "") if given.control_url else FileLink(data / "assignment.json")
    blobs = Blobs.open(f"file://{data}/blobs")
    online = LmdbStore.open(data / "online")
    run_gateway(options, blobs, lambda folder: ArtifactLoader(folder, blobs, online), link, on_ready=_say)


if __name__ == "__main__":
    main()
