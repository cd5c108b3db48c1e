"""The ledger's pages: the log newest first, one entry with its proof, and the verification of all. Owns their contexts."""

from collections.abc import Callable, Collection, Mapping
from urllib.parse import urlencode

import msgspec

from modelyard.core.clock import Instant
from modelyard.ledger import service
from modelyard.ledger.domain import Checkpoint, Entry, LogFacts, ProvenEntry, Reader, Verification
from modelyard.storage.database import Database, Snapshot
from modelyard.web.pages import Nav, Page, page
from modelyard.web.parts import Choice, Pager

PATH = "/ledger"


class Actors(msgspec.Struct, frozen=True):
    """Who knows what people call those that act. Access lies above the ledger, so the composition root hands its function down.

    The log holds ids alone; a name can change and be erased, so it is read when a page is.
    """

    names: Callable[[Snapshot, Collection[str]], Mapping[str, str]]


class LogPage(msgspec.Struct, frozen=True, kw_only=True):
    """The context of `ledger/log.html`. `covered` is how many entries the latest checkpoint vouches for.

    `names` says what people call the actors, by id.
    """

    facts: LogFacts
    covered: int
    key: str
    entries: tuple[Entry, ...]
    names: Mapping[str, str]
    types: tuple[Choice, ...]
    subject: str
    is_filtered: bool
    pager: Pager


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One hash on the way from the leaf to the root: on which side it stands."""

    side: str
    hash: str


class EntryPage(msgspec.Struct, frozen=True, kw_only=True):
    """The context of `ledger/entry.html`. Texts are as an auditor would write them: hexadecimal hashes, canonical leaf."""

    proven: ProvenEntry
    actor_name: str
    data: str
    leaf: str
    leaf_hash: str
    root: str
    steps: tuple[Step, ...]
    has_next: bool
    has_personal: bool
    erased_at: Instant | None


class VerificationPage(msgspec.Struct, frozen=True, kw_only=True):
    """The context of `ledger/verification.html`."""

    result: Verification
    root: str
    key: str
    checkpoint: Checkpoint | None


def show_log(  # noqa: PLR0913 - what is injected does not count
    snapshot: Snapshot,
    key: service.LogKey,
    actors: Actors,
    reader: Reader,
    type: str = "",  # noqa: A002 - the query parameter's word
    subject: str = "",
    before: int | None = None,
) -> LogPage:
    """The log, newest first, and how much of it is signed."""
    facts = service.log_facts(snapshot)
    found = service.read_entries(snapshot, reader, type=type or None, subject=subject or None, before=before)
    kept = {name: value for name, value in (("type", type), ("subject", subject)) if value}
    types = sorted({*service.list_types(snapshot), type} - {""})
    return LogPage(
        facts=facts,
        covered=facts.checkpoint.size if facts.checkpoint else 0,
        key=key.verifier.text,
        entries=tuple(found.entries),
        names=actors.names(snapshot, {one.actor for one in found.entries}),
        types=(Choice("", "any type"), *(Choice(name, name, is_on=name == type) for name in types)),
        subject=subject,
        is_filtered=bool(kept),
        pager=Pager(
            said=_range_said(found.entries),
            first=_address(kept) if before is not None else None,
            next=_address({**kept, "before": str(found.before)}) if found.before is not None else None,
        ),
    )


def show_entry(snapshot: Snapshot, actors: Actors, reader: Reader, index: int) -> EntryPage:
    """One entry: what it says, its leaf byte for byte, and its proof under the latest checkpoint."""
    proven = service.read_entry(snapshot, reader, index)
    personal = service.find_personal(snapshot, proven.entry.id) if proven.entry.commitment else None
    return EntryPage(
        proven=proven,
        actor_name=actors.names(snapshot, {proven.entry.actor})[proven.entry.actor],
        data=msgspec.json.format(msgspec.json.encode(proven.entry.data), indent=2).decode(),
        leaf=proven.leaf.decode(),
        leaf_hash=proven.leaf_hash.hex(),
        root=proven.checkpoint.root.hex() if proven.checkpoint else "",
        steps=_steps(proven),
        has_next=index + 1 < service.log_facts(snapshot).size,
        has_personal=personal is not None and personal.data is not None,
        erased_at=personal.erased_at if personal else None,
    )


def show_verification(database: Database, key: service.LogKey, contents: service.Contents) -> VerificationPage:
    """What verifying the whole log gives, now."""
    result = service.verify(database, key, contents)
    with database.read() as snapshot:
        # Of the verified ones: while content was read, newer ones may have been signed.
        checkpoint = service.get_checkpoint(snapshot, result.covered) if result.covered else None
    return VerificationPage(result=result, root=result.root.hex(), key=key.verifier.text, checkpoint=checkpoint)


PAGES: tuple[Page, ...] = (
    page(PATH, show_log, "ledger/log.html", nav=Nav("Prove", "Ledger", 90)),
    page(f"{PATH}/entries/{{index}}", show_entry, "ledger/entry.html", title="Ledger entry"),
    page(f"{PATH}/verification", show_verification, "ledger/verification.html", title="Verification of the ledger"),
)


def _steps(proven: ProvenEntry) -> tuple[Step, ...]:
    """The proof's hashes with their sides, as RFC 9162, section 2.1.3.2, goes through them."""
    if proven.proof is None:
        return ()
    at, last = proven.proof.index, proven.proof.size - 1
    steps = []
    for hashed in proven.proof.path:
        is_left = bool(at & 1) or at == last
        steps.append(Step(side="left" if is_left else "right", hash=hashed.hex()))
        while is_left and not at & 1 and at:
            at, last = at >> 1, last >> 1
        at, last = at >> 1, last >> 1
    return tuple(steps)


def _range_said(entries: list[Entry]) -> str:
    if not entries:
        return "No entries"
    return f"Entries {entries[-1].index:,} to {entries[0].index:,}" if len(entries) > 1 else f"Entry {entries[0].index:,}"


def _address(query: dict[str, str]) -> str:
    return f"{PATH}?{urlencode(query)}" if query else PATH
