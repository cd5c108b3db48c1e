"""`yard dossier` and `yard trust`: what an auditor is handed. How it is verified is in `verification`."""

import io
import tarfile
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from modelyard.cli.connection import connected
from modelyard.cli.output import Json, console, plain, print_json, print_table, tell
from modelyard.cli.versions import numbered, parted
from modelyard.core.digests import digest_bytes
from modelyard.core.errors import Corrupted, InvalidInput
from modelyard.governance.domain import Dossier


def dossier(
    version: Annotated[str, Parameter(help="MODEL/VERSION, the version by its number or an alias.")],
    /,
    *,
    out: Annotated[Path | None, Parameter(help="The folder that the bundle goes into; MODEL-VERSION here unless it is named.")] = None,
    json: Json = False,
) -> int:
    """Makes the dossier of a version that was let through, and unpacks its bundle: PDF, answers, attestations, proofs.

    Example: yard dossier late_arrival/champion --out audit
    """
    model, name = parted(version)
    with connected() as client:
        number = numbered(client, model, name)
        folder = out or Path(f"{model}-{number}")
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise InvalidInput(f"{folder} is there and not empty", hint="name an empty folder with --out")
        made = client.make_dossier(model, number)
        archive = client.download_dossier(made.id)
    if digest_bytes(archive) != made.digest:
        raise Corrupted("what came is not what was made", hint="fetch it again: yard dossier")
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as opened:
        opened.extractall(folder, filter="data")
    if json:
        print_json({"dossier": made, "folder": str(folder)})
    else:
        _tell_made(made, folder)
    return 0


def _tell_made(made: Dossier, folder: Path) -> None:
    console().print(f"[bold]{made.model} v{made.version}[/]: dossier in {made.duration_s:.1f} s, {plain(str(folder / 'dossier.pdf'))}")
    rows = [
        ("[green]met[/]", str(made.met), "evidence on record"),
        ("[yellow]wait[/]", str(made.waiting), "for a person; never closed by a machine"),
        ("[red]missing[/]", str(made.missing), "not on record"),
        ("[dim]not applicable[/]", str(made.not_applicable), "with the reason in each"),
    ]
    print_table("Requirements", ("", "#", ""), rows)
    tell(f"yard verify {folder} --trust trust.json holds it against a trust file that was taken before (yard trust)")


def trust(
    *, out: Annotated[Path, Parameter(help="The file to write; it is never overwritten.")] = Path("trust.json"), json: Json = False
) -> int:
    """Writes what an auditor keeps: public keys by role, the log's key, a checkpoint of it, the policy.

    Take it once and early, over a connection that you trust, and keep it: bundles are held against it.

    Example: yard trust --out trust.json
    """
    with connected() as client:
        given = client.give_trust()
    content = msgspec.json.format(msgspec.json.encode(given), indent=2)
    try:
        with out.open("xb") as stream:
            stream.write(content + b"\n")
    except FileExistsError as error:
        raise InvalidInput(f"{out} is there already", hint="an older trust file proves more; name another with --out") from error
    except OSError as error:
        raise InvalidInput(f"{out} cannot be written: {error.strerror}", hint="name another file with --out") from error
    if json:
        print_json(given)
    else:
        console().print(
            f"{plain(str(out))}: {len(given.keys)} keys, the log's, and its checkpoint of {given.checkpoint.splitlines()[1]} entries"
        )
    return 0
