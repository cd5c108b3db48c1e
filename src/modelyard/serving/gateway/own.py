"""What a gateway may decide by itself while it is cut off: a rollback to champions that it has served before.

Owns the plan of an own revision; loading, keeping and serving it is the shelf's.
"""

from collections.abc import Mapping, Sequence

import msgspec

from modelyard.access.domain import PrincipalId
from modelyard.core.clock import Clock, Instant
from modelyard.core.errors import Conflict, Kind, ModelyardError, NotFound
from modelyard.core.names import nearest
from modelyard.registry.domain import ModelName
from modelyard.serving import rules
from modelyard.serving.domain import (
    OWN_NUMBERS,
    Deployment,
    NoSuchEndpoint,
    NothingToRollBackTo,
    OwnRevision,
    Revision,
    RevisionDetail,
    RevisionState,
    ServedVersion,
)

LOCAL = PrincipalId("gateway")
"""The actor of an own revision until the control plane knows which account reported it."""


class LocalRollback(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody on the gateway's machine asks for: a model back at `to`, or at the champion before; and why."""

    model: ModelName
    to: int | None = None
    why: str = ""


class ControlPlaneAnswers(Conflict):
    """The control plane is there: it decides."""


class VersionNotHere(NotFound):
    """The gateway never served the version as champion, or no longer knows of it."""


class NoOwnNumbers(Conflict):
    """The gateway has not been lent numbers for revisions of its own."""


class CannotKeep(ModelyardError):
    """The gateway's folder cannot be written, so that a restart would undo the rollback."""

    kind = Kind.INTERNAL


class Standing(msgspec.Struct, frozen=True):
    """What a gateway serves of each model and has served, its own revisions so far, and the number of the next."""

    live: Mapping[str, Deployment]
    past: Mapping[str, Sequence[Deployment]]
    own: Sequence[OwnRevision]
    next_number: int


def planned(standing: Standing, order: LocalRollback, by: str, clock: Clock) -> tuple[OwnRevision, Deployment]:
    """The own revision that carries out `order`, with the versions that it names.

    Raises NoSuchEndpoint, NothingToRollBackTo, VersionNotHere and NoOwnNumbers.
    """
    live = standing.live.get(order.model)
    if live is None:
        raise NoSuchEndpoint(f"no model {order.model[:80]!r} is served here", hint=nearest(order.model, standing.live))
    past, before = standing.past.get(order.model, ()), live.revision
    served = (live, *reversed(past))
    champions = {deployment.revision.traffic.champion for deployment in served}
    if order.to is not None and order.to not in champions:
        had = ", ".join(str(number) for number in sorted(champions))
        raise VersionNotHere(
            f"version {order.to} of {order.model} was never champion at this gateway; nothing is changed",
            hint=f"it has served {had}; for any other bring the control plane back",
        )
    known = {version.number: version for deployment in served for version in deployment.versions}
    earlier = [RevisionDetail(revision=one.revision, state=RevisionState.SUPERSEDED, active_at=Instant(0)) for one in served]
    traffic = rules.rolled_back(before.traffic, earlier, order.to)
    if traffic == before.traffic:
        raise NothingToRollBackTo(f"version {traffic.champion} answers everything already", hint="name another version: --to VERSION")
    if standing.next_number < OWN_NUMBERS:
        raise NoOwnNumbers(
            "this gateway was never lent numbers for revisions of its own", hint="it gets them when it hears from the server"
        )
    revision = Revision(
        model=order.model,
        number=standing.next_number,
        team_id=before.team_id,
        traffic=traffic,
        cause=order.why or f"rolled back to version {traffic.champion}",
        actor=LOCAL,
        proposed_at=clock.now(),
    )
    mine = [one for one in standing.own if one.revision.model == order.model]
    away = {version for one in mine[-1:] for version in one.away} | rules.answering(before.traffic)
    base = mine[0].base if mine else before.number
    own = OwnRevision(revision=revision, base=base, away=tuple(sorted(away - rules.answering(traffic))), by=by, decided_at=clock.wall())
    return own, Deployment(revision=revision, versions=_named(traffic.versions, known))


def _named(numbers: Sequence[int], known: Mapping[int, ServedVersion]) -> tuple[ServedVersion, ...]:
    return tuple(known[number] for number in numbers)
