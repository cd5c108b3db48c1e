"""The revisions that a gateway holds: loads them, switches to them, keeps them in its folder for the next start.

Owns which handler serves which model. A switch replaces one handler by another between two requests.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import msgspec

from modelyard.core.clock import Instant
from modelyard.core.errors import ModelyardError
from modelyard.registry.domain import ModelName
from modelyard.serving.domain import Assignment, Deployment, GatewayToken, Held, ServedVersion
from modelyard.serving.gateway.handler import Handler, Services
from modelyard.serving.gateway.model import LoadedVersion
from modelyard.serving.log.shipping import write_whole

STATE = "state.json"

Name = tuple[ModelName, int]


class Loader(Protocol):
    """Makes a version ready to answer."""

    def load(self, model: ModelName, version: ServedVersion) -> LoadedVersion:
        """The version with its predictor and its reader. Raises a ModelyardError that says why it cannot be."""
        ...


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What a gateway keeps for a start without the control plane: what it served, the tokens under their lease, and since when."""

    serving: tuple[Deployment, ...]
    active_at: tuple[Instant, ...]
    tokens: tuple[GatewayToken, ...]
    tokens_until: Instant
    heard_at: Instant
    replay_at: Instant | None = None


class Shelf:
    """The revisions at hand, and those that serve."""

    def __init__(self, folder: Path, loader: Loader, services: Services) -> None:
        self.live: dict[str, Handler] = {}
        self._folder = folder
        self._loader = loader
        self._services = services
        self._ready: dict[Name, Handler] = {}
        self._held: dict[Name, Held] = {}
        self._before: dict[str, Handler] = {}

    def report(self) -> tuple[Held, ...]:
        """What the control plane is told."""
        return tuple(self._held.values())

    def is_held(self, name: Name) -> bool:
        """Whether the revision was loaded, or tried."""
        return name in self._held

    def prepare(self, deployments: Iterable[Deployment]) -> None:
        """Loads revisions, beside those that serve. Runs on a thread; what fails to load is reported, not raised."""
        for deployment in deployments:
            revision = deployment.revision
            name = (revision.model, revision.number)
            if name in self._ready:
                continue
            try:
                loaded = {version.number: self._loaded(revision.model, version) for version in deployment.versions}
                self._ready[name] = Handler(deployment, loaded, self._services)
                self._held[name] = Held(model=revision.model, revision=revision.number, prepared_at=self._services.clock.wall())
            except ModelyardError as error:
                text = f"{error.message} ({error.hint})" if error.hint else error.message
                self._held[name] = Held(model=revision.model, revision=revision.number, error=text)

    def _loaded(self, model: ModelName, version: ServedVersion) -> LoadedVersion:
        """The version, taken over from a revision that holds the very same one."""
        handlers = [*self._ready.values(), *self._before.values()]
        known = (one.loaded.get(version.number) for one in handlers if one.revision.model == model)
        same = next((one for one in known if one is not None and one.version == version), None)
        return same or self._loader.load(model, version)

    def switch(self, active: Iterable[Name], keep: Iterable[Name]) -> bool:
        """Serves under `active` from the next request on, as far as it is ready; whether anything changed.

        Lets go of what is in neither. The handler before stays at hand: a roll-back to its versions loads nothing.
        """
        active = tuple(active)
        wall, changed = self._services.clock.wall(), False
        for name in active:
            handler, held = self._ready.get(name), self._held.get(name)
            if handler is None or held is None or self.live.get(name[0]) is handler:
                continue
            if name[0] in self.live:
                self._before[name[0]] = self.live[name[0]]
            self.live[name[0]], changed = handler, True
            self._held[name] = msgspec.structs.replace(held, active_at=wall)
        for model in self.live.keys() - {model for model, _ in active}:
            self._before[model], changed = self.live.pop(model), True
        wanted = {*active, *keep, *((handler.revision.model, handler.revision.number) for handler in self.live.values())}
        for name in self._held.keys() - wanted:
            self._held.pop(name)
            self._ready.pop(name, None)
        return changed

    def keep(self, assignment: Assignment, heard_at: Instant) -> None:
        """Writes what serves, and the tokens, into the gateway's folder."""
        live = list(self.live.values())
        since = (self._held[handler.revision.model, handler.revision.number].active_at for handler in live)
        kept = Kept(
            serving=tuple(handler.deployment for handler in live),
            active_at=tuple(at or heard_at for at in since),
            tokens=assignment.tokens,
            tokens_until=assignment.tokens_until,
            heard_at=heard_at,
            replay_at=assignment.replay_at,
        )
        write_whole(self._folder / STATE, msgspec.json.encode(kept))

    def restore(self) -> Kept | None:
        """Serves what was served before the stop, as it was kept; None where nothing was."""
        path = self._folder / STATE
        if not path.exists():
            return None
        kept = msgspec.json.decode(path.read_bytes(), type=Kept)
        self.prepare(kept.serving)
        for deployment, at in zip(kept.serving, kept.active_at, strict=True):
            name = (deployment.revision.model, deployment.revision.number)
            if name in self._ready:
                self.live[name[0]] = self._ready[name]
                self._held[name] = msgspec.structs.replace(self._held[name], active_at=at)
        return kept

    def active_at(self, handler: Handler) -> Instant:
        """Since when a live handler serves here."""
        return self._held[handler.revision.model, handler.revision.number].active_at or Instant(0)
