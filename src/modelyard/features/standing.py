"""How what is read of a view stands: which version each reader reads, what makes one stale, and what to do. Owns the words; no figure."""

from collections.abc import Mapping, Sequence

import msgspec

from modelyard.core.clock import SECOND, Instant
from modelyard.core.digests import Digest
from modelyard.features.domain import AppliedView, FeatureConsumer, Materialization, StaleCause, ViewFreshness, ViewReader
from modelyard.features.rules import freshness_of, stale_cause
from modelyard.web.words import span

MOST_NAMED = 3


class ReaderRow(msgspec.Struct, frozen=True, kw_only=True):
    """Who reads a view: a served version of a model with the version of the view that it reads, or who has only been told of.

    `number` is that version of the view where it is known, `is_older` whether another one stands by now, `does` what the reader does.
    """

    name: str
    href: str
    does: str
    set: str = ""
    number: int | None = None
    is_older: bool = False
    is_answering: bool = False


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with a version of a view, why, whom it hits, and what to do next."""

    text: str
    next: str


def reader_rows(
    applied: AppliedView, versions: Sequence[AppliedView], readers: Sequence[ViewReader], consumers: Sequence[FeatureConsumer]
) -> tuple[ReaderRow, ...]:
    """What reads the view: the served versions of models, those that answer first, then whoever else has been noted."""
    numbers = {one.digest: one.number for one in versions}
    noted = {one.name: one for one in consumers}
    rows, served = [], set()
    for one in readers:
        model = one.reader.rpartition(" v")[0]
        consumer = noted.get(model)
        served.add(model)
        row = ReaderRow(
            name=one.reader,
            href=consumer.href if consumer else "",
            does="answers" if one.is_answering else "stands by",
            set=consumer.set if consumer else "",
            number=numbers.get(one.digest),
            is_older=one.digest != applied.digest,
            is_answering=one.is_answering,
        )
        rows.append(row)
    rows += [ReaderRow(name=one.name, href=one.href, does="not served", set=one.set) for one in consumers if one.name not in served]
    return tuple(rows)


def troubles_of(
    applied: AppliedView,
    versions: Sequence[AppliedView],
    brought: Mapping[Digest, Materialization],
    readers: Sequence[ViewReader],
    now: Instant,
) -> tuple[Trouble, ...]:
    """What is stale of the view: the version that stands, and each other one by which something answers."""
    answering = {one.digest for one in readers if one.is_answering}
    told = []
    for one in versions:
        hit = [reader.reader for reader in readers if reader.digest == one.digest and reader.is_answering]
        if one.digest != applied.digest and one.digest not in answering:
            continue
        fresh = freshness_of(one.view, brought.get(one.digest), now)
        if fresh.is_stale:
            told.append(_trouble(one, fresh, hit, now))
    return tuple(told)


def _trouble(one: AppliedView, fresh: ViewFreshness, hit: Sequence[str], now: Instant) -> Trouble:
    name = one.view.name
    hits = f" It hits {_named(hit)}." if hit else " Nothing answers by it."
    every = span(fresh.every_s)
    match stale_cause(fresh.upto_at, fresh.every_s, now):
        case StaleCause.NEVER_BROUGHT:
            why = "nothing of it was ever brought online"
        case StaleCause.NOT_BROUGHT:
            why = f"nothing was brought online for {span((now - (fresh.upto_at or now)) / SECOND)}, though its turn comes every {every}"
        case _:
            why = f"all that {one.view.source.place} holds is online, and it has no newer event"
            step = f"mend what writes {one.view.source.place}; new rows are brought online within {every}"
            return Trouble(text=f"v{one.number}: {why}.{hits}", next=step)
    return Trouble(text=f"v{one.number}: {why}.{hits}", next=f"yard features materialize {name} says what keeps it; is a worker running?")


def _named(names: Sequence[str]) -> str:
    if len(names) <= MOST_NAMED:
        return " and ".join(names) if len(names) < 3 else f"{', '.join(names[:-1])} and {names[-1]}"
    return f"{', '.join(names[:MOST_NAMED])} and {len(names) - MOST_NAMED} more"
