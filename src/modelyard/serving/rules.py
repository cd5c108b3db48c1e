"""What decides traffic, without any input or output: who answers an entity, when a revision may go on, which fallback serves."""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec

from modelyard.core.clock import SECOND, Instant
from modelyard.core.names import listed
from modelyard.registry.domain import DType, ModelName
from modelyard.serving.domain import (
    LEASE_S,
    Arm,
    BadTraffic,
    Cell,
    Fallback,
    GatewayLease,
    Held,
    NeverChampion,
    NothingToRollBackTo,
    RevisionDetail,
    RevisionState,
    Route,
    ServedVersion,
    Traffic,
)

_encoder = msgspec.json.Encoder()
_WHOLE = 2**64


def place(salt: bytes, key: Sequence[Cell]) -> int:
    """Where an entity stands on the line [0, 2**64): the same on every gateway and after every restart.

    The line is cut anew for each candidate, by `salt`, so that not always the same entities try the new version first.
    """
    return int.from_bytes(hashlib.blake2b(_encoder.encode(key), digest_size=8, key=salt).digest(), "little")


def split_salt(model: str, version: int) -> bytes:
    """The salt of a candidate's line."""
    return hashlib.blake2b(f"{model}/{version}".encode(), digest_size=16).digest()


def canary_rows(model: str, canary: Route, keys: Iterable[Sequence[Cell]]) -> list[bool]:
    """For each key whether the canary answers it. A larger share keeps everyone whom a smaller one had.

    >>> one = canary_rows("m", Route(version=2, share=0.2), [("JFK", n) for n in range(1000)])
    >>> two = canary_rows("m", Route(version=2, share=0.5), [("JFK", n) for n in range(1000)])
    >>> all(b for a, b in zip(one, two) if a), 150 < sum(one) < 250
    (True, True)
    """
    limit = round(canary.share * _WHOLE)
    salt = split_salt(model, canary.version)
    return [place(salt, key) < limit for key in keys]


def alive(gateways: Iterable[GatewayLease], now: Instant) -> tuple[GatewayLease, ...]:
    """The gateways that were heard of within their lease."""
    return tuple(gateway for gateway in gateways if now - gateway.seen_at <= LEASE_S * SECOND)


def next_state(state: RevisionState, held: Mapping[str, Held | None]) -> RevisionState:
    """The state that a revision comes into, given what each live gateway holds of it (None: nothing yet).

    Proposed becomes prepared once every live gateway has loaded it, and then active; failed once one could not. With no
    gateway alive nothing moves: a revision that nobody serves is not live.

    >>> next_state(RevisionState.PROPOSED, {})
    <RevisionState.PROPOSED: 'proposed'>
    """
    if state is not RevisionState.PROPOSED or not held:
        return state
    if any(one is not None and one.error for one in held.values()):
        return RevisionState.FAILED
    ready = all(one is not None and one.prepared_at is not None for one in held.values())
    return RevisionState.PREPARED if ready else state


def why_failed(held: Mapping[str, Held | None]) -> str:
    """Which gateway could not load a revision, and why."""
    return "; ".join(f"{gateway}: {one.error}" for gateway, one in sorted(held.items()) if one is not None and one.error)


def fallback_reason(fallback: Fallback | None, version: ServedVersion) -> str | None:
    """Why the fallback answers in the place of `version`, or None where the version itself does.

    It does while a view is stale that the fallback names and the version reads.
    """
    if fallback is None or version.feature_set is None:
        return None
    read = {view.name for view in version.feature_set.views}
    stale = [view for view in fallback.stale if view in fallback.views and view in read]
    return stale_said(stale) if stale else None


def stale_said(views: Sequence[str]) -> str:
    """That those views are stale, as a reason.

    >>> stale_said(["weather"]), stale_said(["weather", "inbound"])
    ('view weather is stale', 'views weather and inbound are stale')
    """
    return f"view {views[0]} is stale" if len(views) == 1 else f"views {listed(views)} are stale"


def with_stale(traffic: Traffic, stale: Collection[str]) -> Traffic:
    """`traffic` while those views are stale. Raises BadTraffic where the model declares no fallback."""
    if traffic.fallback is None:
        raise BadTraffic("the model declares no fallback", hint="declare one: @model(..., fallback=constant(0.25))")
    names = tuple(name for name in traffic.fallback.views if name in stale)
    return msgspec.structs.replace(traffic, fallback=msgspec.structs.replace(traffic.fallback, stale=names))


def with_declared(traffic: Traffic, declared: Fallback) -> Traffic:
    """`traffic` under the fallback that its model declares now; views that are stale stay so."""
    stale = traffic.fallback.stale if traffic.fallback else ()
    fallback = msgspec.structs.replace(declared, stale=tuple(name for name in declared.views if name in stale))
    return msgspec.structs.replace(traffic, fallback=fallback)


def rollout_step(live: Traffic, candidate: int, share: float) -> Traffic:
    """`live` one step on: the candidate answers `share` of the entities, and is the champion from a share of 1 on.

    Raises BadTraffic where another version is already in canary: two candidates at once would not be told apart.

    >>> rollout_step(Traffic(champion=1), 2, 0.1).canary
    Route(version=2, share=0.1)
    >>> rollout_step(Traffic(champion=1), 2, 1.0).champion
    2
    """
    other = live.canary.version if live.canary else candidate
    if other != candidate:
        raise BadTraffic(f"version {other} is in canary", hint=f"roll it back or out before version {candidate} begins")
    if candidate == live.champion:
        raise BadTraffic(f"version {candidate} is the champion", hint="a rollout needs another version")
    shadows = tuple(version for version in live.shadows if version != candidate)
    if share >= 1.0:
        return msgspec.structs.replace(live, champion=candidate, canary=None, shadows=shadows)
    return msgspec.structs.replace(live, canary=Route(version=candidate, share=share) if share > 0 else None, shadows=shadows)


def rolled_back(live: Traffic, earlier: Iterable[RevisionDetail], to: int | None) -> Traffic:
    """`live` without its canary and under version `to`; where that is not given, under the champion before.

    `earlier` comes newest first and holds the live revision too. A rollback while a canary is out only takes the canary away.
    Only what gateways once served as champion comes back. Raises NothingToRollBackTo and NeverChampion.
    """
    champions = (one.revision.traffic.champion for one in earlier if one.active_at is not None)
    if to is not None:
        if to not in champions:
            raise NeverChampion(
                f"version {to} was never champion; a rollback brings back a version that was",
                hint="a version that never was goes live by a delivery: yard ship MODEL",
            )
        champion = to
    elif live.canary is not None:
        champion = live.champion
    else:
        before = next((one for one in champions if one != live.champion), None)
        if before is None:
            raise NothingToRollBackTo(
                f"version {live.champion} is the only champion so far", hint="another one comes by a delivery: yard ship MODEL"
            )
        champion = before
    shadows = tuple(version for version in live.shadows if version != champion)
    return msgspec.structs.replace(live, champion=champion, canary=None, shadows=shadows)


def answering(traffic: Traffic) -> set[int]:
    """The versions that answer somebody.

    >>> sorted(answering(Traffic(champion=1, canary=Route(version=2, share=0.1), shadows=(3,))))
    [1, 2]
    """
    return {traffic.champion, *([traffic.canary.version] if traffic.canary and traffic.canary.share > 0 else [])}


def arm_of(traffic: Traffic, version: int) -> Arm | None:
    """The arm that a version answers in, or None where it answers nobody."""
    if version == traffic.champion:
        return Arm.CHAMPION
    if traffic.canary is not None and version == traffic.canary.version:
        return Arm.CANARY
    return None


def complete_through(gateways: Iterable[GatewayLease], waiting: Iterable[Instant], now: Instant) -> Instant:
    """Up to where every answered prediction is in the tables: the least of what gateways sealed and what waits for compaction.

    `waiting` holds the first instant of each segment that is not compacted. A gateway that is away may hold predictions
    that nobody has seen, so it counts too.
    """
    return min([*(gateway.sealed_through_at for gateway in gateways), *waiting], default=now)


def wanted(prepare: Iterable[tuple[ModelName, int]], active: Iterable[tuple[ModelName, int]]) -> set[tuple[ModelName, int]]:
    """All revisions that a gateway should hold."""
    return {*prepare, *active}


def merged_fields(champion: ServedVersion, versions: Iterable[ServedVersion]) -> tuple[dict[str, DType], dict[str, DType]]:
    """The keys and fields that requests must carry, for the champion's sake, and those that they may, for the others'.

    Raises BadTraffic where two versions give one field different types.
    """
    required = dict([*champion.keys, *champion.request])
    optional: dict[str, DType] = {}
    for version in versions:
        for name, dtype in (*version.keys, *version.request):
            if (known := {**required, **optional}.get(name, dtype)) != dtype:
                raise BadTraffic(
                    f"the field {name!r} is {known} to version {champion.number} and {dtype} to version {version.number}",
                    hint="give a field that changes its type another name",
                )
            if name not in required:
                optional[name] = dtype
    return required, optional
