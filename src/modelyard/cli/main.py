"""The entry point of `yard`: the overview, and the one place where an error becomes an exit code."""

import os
import sys

import msgspec

import modelyard
from modelyard.cli.table import COMMANDS, GROUPS
from modelyard.core.errors import EXIT_CODE, Kind, ModelyardError

WRONG_USAGE = 2
RED, PLAIN = "\033[31;1m", "\033[0m"


def overview() -> str:
    """What `yard --help` prints: made from the table alone, so that it answers at once."""
    width = max(len(command.name) for command in COMMANDS) + 2
    lines = ["Usage: yard COMMAND [OPTIONS]", "", "Build models, bring them to production, keep them there.", ""]
    for group in GROUPS:
        lines.append(group)
        lines += [f"  {command.name:<{width}}{command.about}" for command in COMMANDS if command.group == group]
        lines.append("")
    return "\n".join([*lines, "yard COMMAND --help explains one. Every command takes --json.", "Example: yard ship late_arrival"])


def main() -> int:
    """Runs the command that the words name; its exit code is part of the contract."""
    words = sys.argv[1:]
    if not words or words[0] in ("--help", "-h", "help"):
        sys.stdout.write(overview() + "\n")
        return 0
    if words[0] in ("--version", "-V"):
        sys.stdout.write(f'{{"version": "{modelyard.__version__}"}}\n' if "--json" in words else f"yard {modelyard.__version__}\n")
        return 0
    from modelyard.cli.running import WrongUsage, run  # the parser costs 0.2 s, which the two answers above need not pay

    try:
        return run(words)
    except ModelyardError as error:
        _tell(error, as_json="--json" in words)
        return WRONG_USAGE if isinstance(error, WrongUsage) else EXIT_CODE[error.kind]
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_CODE[Kind.INTERNAL]


def _tell(error: ModelyardError, *, as_json: bool) -> None:
    """Prints an error: for people on standard error, in red where that is a terminal; for programs as the one JSON document."""
    if as_json:
        sys.stdout.write(msgspec.json.encode({"error": error.body()}).decode() + "\n")
        return
    red, plain = (RED, PLAIN) if sys.stderr.isatty() and not os.environ.get("NO_COLOR") else ("", "")
    hint = f"\n  {error.hint}" if error.hint else ""
    sys.stderr.write(f"{red}yard: {error.message}{plain} [{error.code}]{hint}\n")


if __name__ == "__main__":
    sys.exit(main())
