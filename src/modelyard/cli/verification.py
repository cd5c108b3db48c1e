"""`yard verify`: holds a bundle against what its auditor trusts. It asks no server; what it checks is in `governance.verification`."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from modelyard.cli.output import Json, console, plain, print_json, print_table
from modelyard.core.errors import EXIT_CODE, InvalidInput, Kind
from modelyard.governance.verification import parsed_trust, verify_bundle


def verify(
    folder: Annotated[Path, Parameter(help="The folder of the bundle.")],
    /,
    *,
    trust: Annotated[Path, Parameter(help="What you trust: the log's key, keys by role, an earlier checkpoint, the policy.")],
    json: Json = False,
) -> int:
    """Verifies an audit bundle offline: every digest, signature, date and proof. Ends with 0 where all hold, 1 where one does not.

    The trust file must be your own, from `yard trust`, and older than the bundle: keys that come with a bundle prove nothing.

    Example: yard verify ./late_arrival-3 --trust trust.json
    """
    try:
        content = trust.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{trust} cannot be read: {error.strerror}", hint="yard trust --out trust.json writes one") from error
    checks = verify_bundle(folder, parsed_trust(content))
    failed = [one for one in checks if not one.passed]
    if json:
        print_json({"verified": not failed, "checks": checks})
    else:
        rows = [("[green]holds[/]" if one.passed else "[red]fails[/]", one.name, plain(one.said)) for one in checks]
        print_table(f"{folder}", ("", "check", "found"), rows)
        said = f"[red]{len(failed)} of {len(checks)} checks fail[/]" if failed else f"[green]verified[/]: {len(checks)} checks hold"
        console().print(said)
    return EXIT_CODE[Kind.INVALID] if failed else 0
