"""The revisions that a gateway holds: loads them, switches to them, keeps them in its folder for the next start.

Owns which handler serves which model. A switch replaces one handler by another between two requests.
"""

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Protocol

import msgspec

from modelyard.core.clock import Instant
from modelyard.core.errors import ModelyardError
from modelyard.registry.domain import ModelName
from modelyard.serving.domain import Assignment, Deployment, GatewayToken, Held, OwnRevision, ServedVersion
from modelyard.serving.gateway.handler import Handler, Services
from modelyard.serving.gateway.model import LoadedVersion
from modelyard.storage.durable import write_whole

STATE = "state.json"
MOST_PAST = 8
"""So many earlier settings of a model's traffic are kept: what a gateway that is cut off can go back to."""

Name = tuple[ModelName, int]


class Loader(Protocol):
    """Makes a version ready to answer."""

    def load(self, model: ModelName, version: ServedVersion) -> LoadedVersion:
        """The version with its predictor and its reader. Raises a ModelyardError that says why it cannot be."""
        ...


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What a gateway keeps for a start without the control plane: what it served, the tokens under their lease, and since when.

    `past` is what it served before, oldest first; `own` are the revisions that it made itself and has told nobody of,
    `next_number` is for the next one.
    """

    serving: tuple[Deployment, ...]
    active_at: tuple[Instant, ...]
    tokens: tuple[GatewayToken, ...]
    tokens_until: Instant
    heard_at: Instant
    replay_at: Instant | None = None
    past: tuple[Deployment, ...] = ()
    own: tuple[OwnRevision, ...] = ()
    next_number: int = 0


class Shelf:
    """The revisions at hand, and those that serve."""

    def __init__(self, folder: Path, loader: Loader, services: Services) -> None:
        self.live: dict[str, Handler] = {}
        self.past: dict[str, tuple[Deployment, ...]] = {}
        self.own: tuple[OwnRevision, ...] = ()
        self.next_number = 0
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
                self._make_ready(deployment)
            except ModelyardError as error:
                text = f"{error.message} ({error.hint})" if error.hint else error.message
                self._held[name] = Held(model=revision.model, revision=revision.number, error=text)

    def add_own(self, own: OwnRevision, deployment: Deployment) -> None:
        """Loads a revision that is this gateway's own; `keep` writes it as what serves from now on. Raises what the loader raises."""
        self._make_ready(deployment)
        self.own, self.next_number = (*self.own, own), own.revision.number + 1

    def drop_own(self, own: OwnRevision) -> None:
        """Lets go of an own revision that could not be kept."""
        name = (own.revision.model, own.revision.number)
        self.own = tuple(one for one in self.own if one is not own)
        self._ready.pop(name, None)
        self._held.pop(name, None)

    def serve_own(self, own: OwnRevision) -> Instant:
        """Serves under an own revision that is kept from the next request on; since when."""
        handler = self._ready[own.revision.model, own.revision.number]
        self._serve(handler)
        return self.active_at(handler)

    def settle(self, taken_over: Collection[Name], next_number: int) -> None:
        """From now on the control plane says what becomes of these own revisions."""
        self.own = tuple(one for one in self.own if (one.revision.model, one.revision.number) not in taken_over)
        self.next_number = max(self.next_number, next_number)

    def _make_ready(self, deployment: Deployment) -> None:
        revision = deployment.revision
        loaded = {version.number: self._loaded(revision.model, version) for version in deployment.versions}
        self._ready[revision.model, revision.number] = Handler(deployment, loaded, self._services)
        held = Held(model=revision.model, revision=revision.number, prepared_at=self._services.clock.wall())
        self._held[revision.model, revision.number] = held

    def _loaded(self, model: ModelName, version: ServedVersion) -> LoadedVersion:
        """The version, taken over from a revision that holds the very same one."""
        handlers = [*self._ready.values(), *self._before.values()]
        known = (one.loaded.get(version.number) for one in handlers if one.revision.model == model)
        same = next((one for one in known if one is not None and one.version == version), None)
        return same or self._loader.load(model, version)

    def switch(self, active: Iterable[Name], keep: Iterable[Name]) -> bool:
        """Serves under `active` from the next request on, as far as it is ready; whether anything changed.

        Lets go of what is in neither. The handler before stays at hand: a roll-back to its versions loads nothing. An own
        revision stands until the control plane has heard of it.
        """
        standing = dict(active) | {one.revision.model: one.revision.number for one in self.own}
        changed = False
        for name in standing.items():
            handler = self._ready.get(name)
            if handler is not None and self.live.get(name[0]) is not handler:
                self._serve(handler)
                changed = True
        for model in self.live.keys() - standing.keys():
            self._before[model], changed = self.live.pop(model), True
        wanted = {*standing.items(), *keep, *((handler.revision.model, handler.revision.number) for handler in self.live.values())}
        for name in self._held.keys() - wanted:
            self._held.pop(name)
            self._ready.pop(name, None)
        return changed

    def _serve(self, handler: Handler) -> None:
        """Puts a handler in the place of the one before, which is remembered once for each setting of its versions."""
        model, number = handler.revision.model, handler.revision.number
        before = self.live.get(model)
        if before is not None:
            self._before[model] = before
            others = [one for one in self.past.get(model, ()) if one.revision.traffic.versions != before.revision.traffic.versions]
            self.past[model] = (*others, before.deployment)[-MOST_PAST:]
        self.live[model] = handler
        self._held[model, number] = msgspec.structs.replace(self._held[model, number], active_at=self._services.clock.wall())

    def keep(self, assignment: Assignment, heard_at: Instant) -> None:
        """Writes what serves, own revisions that are about to included, and the tokens into the gateway's folder."""
        names = [(one.revision.model, one.revision.number) for one in self.own]
        own: dict[str, Handler] = {name[0]: self._ready[name] for name in names if name in self._ready}
        live = list((self.live | own).values())
        since = (self._held[handler.revision.model, handler.revision.number].active_at for handler in live)
        kept = Kept(
            serving=tuple(handler.deployment for handler in live),
            active_at=tuple(at or heard_at for at in since),
            tokens=assignment.tokens,
            tokens_until=assignment.tokens_until,
            heard_at=heard_at,
            replay_at=assignment.replay_at,
            past=tuple(deployment for deployments in self.past.values() for deployment in deployments),
            own=self.own,
            next_number=self.next_number,
        )
        write_whole(self._folder / STATE, msgspec.json.encode(kept))

    def restore(self) -> Kept | None:
        """Serves what was served before the stop, as it was kept; None where nothing was."""
        path = self._folder / STATE
        if not path.exists():
            return None
        kept = msgspec.json.decode(path.read_bytes(), type=Kept)
        self.prepare(kept.serving)
        self.own, self.next_number = kept.own, kept.next_number
        for deployment in kept.past:
            model = deployment.revision.model
            self.past[model] = (*self.past.get(model, ()), deployment)
        for deployment, at in zip(kept.serving, kept.active_at, strict=True):
            name = (deployment.revision.model, deployment.revision.number)
            if name in self._ready:
                self.live[name[0]] = self._ready[name]
                self._held[name] = msgspec.structs.replace(self._held[name], active_at=at)
        return kept

    def active_at(self, handler: Handler) -> Instant:
        """Since when a live handler serves here."""
        return self._held[handler.revision.model, handler.revision.number].active_at or Instant(0)
