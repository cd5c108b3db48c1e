"""The settings: one frozen value, read once from `modelyard.toml` and `MODELYARD_*` and passed down."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_origin

import msgspec

from modelyard.core.errors import InvalidInput
from modelyard.core.names import nearest

FILE = "modelyard.toml"
PREFIX = "MODELYARD_"


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The control plane. `allowed_hosts` are the names, with port, under which browsers may reach it besides its own."""

    host: str = "127.0.0.1"
    port: int = 7700
    allowed_hosts: tuple[str, ...] = ()
    pool_threads: int = 16


class GatewaySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The data plane. `max_in_flight` requests are answered at once; more are told to come back.

    `name` is how the control plane knows it; the machine's name unless given. `server_url` is where it asks what to serve.
    A segment of the prediction log is sealed at `segment_bytes`, or after `segment_age_s` seconds.
    """

    name: str = ""
    server_url: str = ""
    allowed_hosts: tuple[str, ...] = ()
    host: str = "127.0.0.1"
    port: int = 7701
    max_in_flight: int = 256
    segment_bytes: int = 16_777_216
    segment_age_s: float = 60.0


class WorkerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The worker. A lease is lost after `lease_s` without a heartbeat. Trials train on the Ray cluster at `ray`, when it is set."""

    lease_s: float = 15.0
    poll_s: float = 0.1
    ray: str = ""


class StorageSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where things are kept. An empty address means the embedded default inside the data folder."""

    database: str = ""
    blobs: str = ""
    tables: str = ""
    online: str = ""
    blob_options: dict[str, str] = {}


class ReproductionSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Reproductions. At the times of `audit`, a cron expression in UTC, champions are made again from their records; empty is never."""

    audit: str = "0 3 * * 0"


class LedgerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The ledger. A checkpoint is signed every `checkpoint_s` seconds when entries came, and at every gate."""

    checkpoint_s: float = 60.0


class TelemetrySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """OpenTelemetry: traces go to `endpoint` (OTLP over HTTP), a collector's address or the whole path, when it is set."""

    endpoint: str = ""


class ProjectSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The project beside the settings file. `models` are the modules that declare its models."""

    models: tuple[str, ...] = ("models",)


class FeaturesSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Features. What others than this machine's own commands and admins declare is read from files below `roots` alone.

    The like for object stores: from addresses below `addresses`, opened with `options` and what the environment says.
    `connections` are the databases that declarations may name, all of them or, where `connection_teams` says so, those of
    some teams. The buckets of a large join are answered in `compute`:
    threads, processes of their own, or the Ray cluster at `ray`.
    """

    roots: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    options: dict[str, str] = {}
    connections: dict[str, str] = {}
    connection_teams: dict[str, tuple[str, ...]] = {}
    compute: Literal["threads", "processes", "ray"] = "threads"
    ray: str = ""


class WebhookSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Webhooks. With `private` they may lead to addresses that are not public: this machine's, and those of its network."""

    private: bool = False


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings. `data` is the data folder; `login` is false only for `--no-login` on loopback."""

    data: str = ".yard"
    login: bool = True
    project: ProjectSettings = ProjectSettings()
    server: ServerSettings = ServerSettings()
    gateway: GatewaySettings = GatewaySettings()
    worker: WorkerSettings = WorkerSettings()
    storage: StorageSettings = StorageSettings()
    features: FeaturesSettings = FeaturesSettings()
    reproduction: ReproductionSettings = ReproductionSettings()
    ledger: LedgerSettings = LedgerSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    webhooks: WebhookSettings = WebhookSettings()

    @property
    def folder(self) -> Path:
        """The data folder, absolute."""
        return Path(self.data).absolute()

    @property
    def database_url(self) -> str:
        """The database's address."""
        return self.storage.database or f"sqlite:///{self.folder / 'modelyard.db'}"

    @property
    def blobs_url(self) -> str:
        """The blob store's address."""
        return self.storage.blobs or f"file://{self.folder / 'blobs'}"

    @property
    def tables_url(self) -> str:
        """The Delta tables' address."""
        return self.storage.tables or f"file://{self.folder / 'tables'}"

    @property
    def online_url(self) -> str:
        """The online store's address."""
        return self.storage.online or f"lmdb://{self.folder / 'online'}"


# Words that the environment holds for the client, or for a project's workflow, and not for the settings.
CLIENT_WORDS = frozenset({"URL", "TOKEN", "GATEWAY_URL", "PACKAGE"})


def read_settings(file: Path | None, environment: Mapping[str, str], overrides: Mapping[str, Any]) -> Settings:
    """The settings of `file`, overridden by `MODELYARD_SECTION__KEY` of the environment, then by `overrides` (`section.key`).

    Raises InvalidInput for an unknown key, naming the nearest one, and for a value of another type.
    """
    values: dict[str, Any] = {}
    if file is not None and file.exists():
        try:
            values = tomllib.loads(file.read_text("utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InvalidInput(f"{file}: {error}", hint="mend the file; see docs/settings.md") from error
    for name, text in environment.items():
        words = name.removeprefix(PREFIX)
        if name.startswith(PREFIX) and words not in CLIENT_WORDS:
            path = words.lower().split("__")
            _put(values, path, _given(text, path, name), name)
    for name, value in overrides.items():
        _put(values, name.split("."), value, name)
    _check_keys(values, Settings, "")
    try:
        return msgspec.convert(values, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"settings: {error}", hint="see docs/settings.md for types and defaults") from error


def _given(text: str, path: list[str], name: str) -> Any:
    """A text of the environment as the setting takes it: lists and tables are JSON, and a list may be words between commas."""
    kind: Any = Settings
    for part in path:
        fields = {field.name: field.type for field in msgspec.structs.fields(kind)} if _is_section(kind) else {}
        kind = fields.get(part)
    origin = get_origin(kind)
    if origin is tuple and not text.lstrip().startswith("["):
        return [word.strip() for word in text.split(",") if word.strip()]
    if origin not in (tuple, dict):
        return text
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise InvalidInput(
            f"{name}={text!r} is no JSON: {error}", hint='write ["a", "b"] or a,b for a list, {"a": "b"} for a table'
        ) from error


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _put(values: dict[str, Any], path: list[str], value: Any, name: str) -> None:
    for part in path[:-1]:
        inner = values.setdefault(part, {})
        if not isinstance(inner, dict):
            raise InvalidInput(f"{name} sets a key inside {part!r}, which is a value", hint="see docs/settings.md")
        values = inner
    values[path[-1]] = value


def _check_keys(values: Mapping[str, Any], kind: type[msgspec.Struct], where: str) -> None:
    fields = {field.name: field.type for field in msgspec.structs.fields(kind)}
    for key, value in values.items():
        if key not in fields:
            raise InvalidInput(f"unknown setting {where}{key!r}", hint=nearest(key, fields))
        inner = fields[key]
        if isinstance(value, dict) and _is_section(inner):
            _check_keys(value, inner, f"{where}{key}.")
