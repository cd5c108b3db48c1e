"""The data plane as a process."""

import os
import socket

from modelyard.core.processes import die_with_parent
from modelyard.core.settings import Settings
from modelyard.server.data_folder import GATEWAY, check_folder, near_url
from modelyard.server.gateway_rules import check_gateway_rules
from modelyard.server.locks import RoleLock
from modelyard.server.logs import log_as_json
from modelyard.server.observe import Traced, tracing
from modelyard.server.roles.common import check_login, ends_when_told, say_bound
from modelyard.serving.gateway.link import HttpLink
from modelyard.serving.gateway.loading import ArtifactLoader
from modelyard.serving.gateway.routes import ROUTES
from modelyard.serving.gateway.run import GatewayOptions
from modelyard.serving.gateway.run import run_gateway as serve_gateway
from modelyard.storage.blobs import Blobs
from modelyard.storage.online import open_online


def run_gateway(settings: Settings, *, as_json: bool = False) -> int:
    """The data plane alone: it asks the control plane of the settings what to serve, and goes on without it."""
    check_login(settings, settings.gateway.host)
    die_with_parent(os.environ)
    log_as_json("gateway")
    ends_when_told()
    check_folder(settings.folder)
    own = settings.gateway
    options = GatewayOptions(
        name=own.name or socket.gethostname().partition(".")[0],
        folder=settings.folder / "gateway",
        host=own.host,
        port=own.port,
        login=settings.login,
        max_in_flight=own.max_in_flight,
        segment_bytes=own.segment_bytes,
        segment_age_s=own.segment_age_s,
        allowed_hosts=own.allowed_hosts,
        around=Traced if settings.telemetry.endpoint else None,
    )
    token = settings.folder / GATEWAY
    blobs, online = Blobs.open(settings.blobs_url, settings.storage.blob_options), open_online(settings.online_url)
    url = own.server_url or near_url(settings.server.host, settings.server.port)
    link = HttpLink(url, options.name, token.read_text("utf-8").strip() if token.exists() else "")
    check_gateway_rules(ROUTES)
    with tracing(settings.telemetry.endpoint, "gateway"), RoleLock(settings.folder, "gateway"):
        serve_gateway(
            options,
            blobs,
            lambda folder: ArtifactLoader(folder, blobs, online),
            link,
            on_ready=lambda port: say_bound(near_url(own.host, port), as_json=as_json),
        )
    return 0
