"""An installation that is open: database, blobs, tables, online store, keys and clock, as the settings ask for."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from modelyard.core.clock import Clock, SystemClock
from modelyard.core.settings import Settings
from modelyard.features.erased import ErasureKey, open_tombstones, opened_tombstones
from modelyard.features.service import open_erasures
from modelyard.features.sources.reach import Place, reaching
from modelyard.features.stored import Histories
from modelyard.governance.service import RoleKeys
from modelyard.ledger.service import LogKey
from modelyard.registry.service import Hooks
from modelyard.registry.webhooks import HookKey
from modelyard.server.data_folder import check_folder
from modelyard.storage.blobs import Blobs
from modelyard.storage.database import Database
from modelyard.storage.migrations import upgrade
from modelyard.storage.online import OnlineStore, open_online
from modelyard.storage.replay import clock_of
from modelyard.storage.tables import Tables


class Installation(msgspec.Struct, frozen=True, kw_only=True):
    """What every role shares."""

    settings: Settings
    database: Database
    blobs: Blobs
    tables: Tables
    online: OnlineStore
    log_key: LogKey
    role_keys: RoleKeys
    hooks: Hooks

    @property
    def clock(self) -> Clock:
        """The installation's clock: the machine's, or the replay's in a folder made for replay."""
        return self.database.clock

    @property
    def histories(self) -> Histories:
        """Where rows of large sources are laid out, and how they are joined."""
        return Histories(self.tables, compute=self.settings.features.compute, ray=self.settings.features.ray)

    def folder(self, name: str) -> Path:
        """A folder of the data folder, made where it is missing."""
        path = self.settings.folder / name
        path.mkdir(parents=True, exist_ok=True)
        return path


@contextlib.contextmanager
def opened(settings: Settings) -> Iterator[Installation]:
    """The installation, its schema brought to the newest version, closed with the block."""
    check_folder(settings.folder)
    found = Database.open(settings.database_url, SystemClock())
    upgrade(found)
    database = found.with_clock(clock_of(found))
    online = open_online(settings.online_url)
    tables = Tables.open(settings.tables_url, settings.storage.blob_options)
    before = opened_tombstones()
    open_erasures(database, ErasureKey.open(settings.folder / "keys" / "erasures.key"))
    try:
        with reaching(settings.features, Place(database, tables)):
            yield Installation(
                settings=settings,
                database=database,
                blobs=Blobs.open(settings.blobs_url, settings.storage.blob_options),
                tables=tables,
                online=online,
                log_key=LogKey.open(settings.folder / "keys" / "log.key"),
                role_keys=RoleKeys.open(settings.folder / "keys"),
                hooks=Hooks(key=HookKey.open(settings.folder / "keys" / "webhooks.key"), allows_private=settings.webhooks.private),
            )
    finally:
        open_tombstones(before)
        online.close()
        database.close()
        found.close()
