"""`yard sync`: delivers what runs left in their spools, and says what a server refused. Decides nothing about a batch."""

import shutil
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from modelyard.cli.output import Json, plain, print_json, print_table, tell
from modelyard.core.errors import EXIT_CODE, Kind, ModelyardError
from modelyard.sdk.tracking.leftovers import SetAside, SpoolReader, count_waiting, list_spools, read_refused, taken_over
from modelyard.sdk.tracking.sending import Sending
from modelyard.sdk.tracking.spool import SPOOLS
from modelyard.sdk.tracking.targets import Target, is_trusted, receiver_of, target_of

SHOWN_REFUSALS = 5


class SyncedSpool(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a spool: how many batches were sent now and how many wait, why, and what the server refused."""

    run: str
    name: str
    spool: str
    to: str
    sent: int
    waiting: int
    why: str
    refused: tuple[SetAside, ...]
    is_readable: bool = True


def sync(
    folder: Annotated[Path, Parameter(help="The project, or its data folder; here unless given.")] = Path(),
    /,
    *,
    forget: Annotated[bool, Parameter(negative="", show_default=False, help="Remove what servers refused, once it was shown.")] = False,
    json: Json = False,
) -> int:
    """Delivers what runs left in the spools of a folder: after a crash, or while their server was away.

    Ends with 4 where a server does not answer, with 3 where something was refused; what is refused is kept until it is forgotten.
    Example: yard sync
    """
    target = _target(folder)
    found = [synced for one in list_spools(target.spools) if (synced := _synced(one, target)) is not None]
    for one in found if forget else ():
        _forget(target.spools / one.spool)
    if json:
        print_json(found)
    else:
        _print(found, target)
    if any(not one.is_readable or (one.waiting and one.why) for one in found):
        return EXIT_CODE[Kind.UNREACHABLE]
    return EXIT_CODE[Kind.REFUSED] if any(one.refused for one in found) else 0


def _target(folder: Path) -> Target:
    target = target_of(folder)
    return msgspec.structs.replace(target, data=folder.absolute()) if (folder / SPOOLS).is_dir() else target


def _synced(folder: Path, target: Target) -> SyncedSpool | None:
    try:
        head = SpoolReader(folder).head
    except (OSError, msgspec.MsgspecError) as error:
        tell(f"{folder} is no spool that can be read: {error}")
        return None
    sent, why, waiting, refused, is_readable = 0, "", 0, tuple[SetAside, ...](), True
    try:
        with taken_over(folder, is_asked=True) as reader:
            if reader is not None:
                sent, why = _sent(reader, target)
            elif count_waiting(folder):
                why = "a process is still writing it, and sends it"
        waiting = count_waiting(folder)
        refused = tuple(read_refused(folder))
    except OSError as error:  # the others are sent all the same
        why, is_readable = f"the disk says {error.strerror or error}", False
    return SyncedSpool(
        run=head.run_id,
        name=head.name,
        spool=folder.name,
        to=head.url or "the folder's own server",
        sent=sent,
        waiting=waiting,
        why=why,
        refused=refused,
        is_readable=is_readable,
    )


def _sent(reader: SpoolReader, target: Target) -> tuple[int, str]:
    """How many batches were sent, and why no more."""
    if not is_trusted(target, reader.head):
        return 0, f"it is for {reader.head.url}: yard login there, or set MODELYARD_URL"
    reached = receiver_of(target, reader.head)
    if reached is None:
        return 0, "no server runs on the folder: yard up takes it in"
    client, receiver = reached
    sending = Sending(reader, receiver, is_orphan=True, told=lambda text: None)
    try:
        with client:
            while sending.step():
                pass
    except ModelyardError as error:
        return sending.sent, error.message
    return sending.sent, ""


def _forget(folder: Path) -> None:
    """Removes a spool of which nothing is left but what was refused."""
    with taken_over(folder) as reader:
        is_over = reader is None and folder.exists() and SpoolReader(folder).state.is_over
    if is_over:
        shutil.rmtree(folder)


def _print(found: list[SyncedSpool], target: Target) -> None:
    if not found:
        tell(f"nothing waits in {target.spools}")
        return
    rows = [(plain(one.name), one.run, str(one.sent), str(one.waiting), str(len(one.refused)), plain(one.why)) for one in found]
    print_table("", ("run", "id!", "sent#", "waiting#", "refused#", ""), rows)
    for one in found:
        for refused in one.refused[:SHOWN_REFUSALS]:
            tell(f"  {one.name}, batch {refused.sequence}: {refused.error.message} [{refused.error.code}]")
        if len(one.refused) > SHOWN_REFUSALS:
            tell(f"  {one.name}: {len(one.refused) - SHOWN_REFUSALS} more; --json lists them all")
