"""All roles on one machine. Loads none of them: whoever supervises for weeks is small, and there at once."""

import msgspec

from modelyard.core.settings import Settings
from modelyard.server.data_folder import check_folder, near_url, put_addresses
from modelyard.server.locks import RoleLock, check_free
from modelyard.server.logs import log_as_json
from modelyard.server.roles.common import check_login, say
from modelyard.server.supervisor import RoleSpec, role_command, supervised


def run_up(settings: Settings, *, as_json: bool = False) -> int:
    """All roles on one machine, supervised until SIGTERM or SIGINT."""
    check_login(settings, settings.server.host, settings.gateway.host)
    check_folder(settings.folder)
    log_as_json("up")
    with RoleLock(settings.folder, "up"):
        # Whoever answers at these addresses would be taken for our own roles.
        own = ((settings.server.host, settings.server.port), (settings.gateway.host, settings.gateway.port))
        check_free(settings.folder, ("server", "gateway"), own)
        base = near_url(settings.server.host, settings.server.port)
        gateway = near_url(settings.gateway.host, settings.gateway.port)
        words = _Words(settings)
        specs = (
            RoleSpec(name="server", command=role_command("server", words.server), ready_url=f"{base}/readyz"),
            RoleSpec(name="gateway", command=role_command("gateway", words.gateway), ready_url=f"{gateway}/readyz"),
            RoleSpec(name="worker", command=role_command("worker", words.data)),
        )

        def said_ready(link: str) -> None:
            first_login = f"{base}{link}" if link and settings.login else ""
            put_addresses(settings)
            ready = f"http://{settings.server.host}:{settings.server.port}" if ":" not in settings.server.host else base
            if as_json:
                say(msgspec.json.encode({"ready": ready, "gateway": gateway, "first_login": first_login}).decode())
            else:
                say("\n".join([f"ready {ready}", *([f"first login: {first_login}"] if first_login else [])]))

        return supervised(specs, said_ready, ["--json"] if as_json else [])


class _Words:
    def __init__(self, settings: Settings) -> None:
        login = [] if settings.login else ["--no-login"]
        self.data = ["--data", str(settings.folder)]
        self.server = [*self.data, "--host", settings.server.host, "--port", str(settings.server.port), *login]
        url = near_url(settings.server.host, settings.server.port)
        self.gateway = [*self.data, "--host", settings.gateway.host, "--port", str(settings.gateway.port), "--server-url", url, *login]
