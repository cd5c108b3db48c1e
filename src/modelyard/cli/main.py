"""The entry point of `yard`: the table of commands, and the one place where an error becomes an exit code."""

import os
import sys

import msgspec

import modelyard
from modelyard.core.errors import EXIT_CODE, Kind, ModelyardError

WRONG_USAGE = 2


class Command(msgspec.Struct, frozen=True):
    """A command: its name, where its function is, one line about it, and the group that it is listed in."""

    name: str
    home: str
    about: str
    group: str


COMMANDS = (
    Command("up", "modelyard.cli.roles:up", "All roles on one machine", "Run"),
    Command("server", "modelyard.cli.roles:server", "The control plane alone", "Run"),
    Command("gateway", "modelyard.cli.roles:gateway", "The data plane alone", "Run"),
    Command("worker", "modelyard.cli.roles:worker", "A worker alone", "Run"),
    Command("plan", "modelyard.cli.projects:plan", "What the declarations would change", "Build"),
    Command("apply", "modelyard.cli.projects:apply", "Change it", "Build"),
    Command("ship", "modelyard.cli.deliveries:ship", "A model through the life cycle, followed live", "Deliver"),
    Command("status", "modelyard.cli.deliveries:status", "What is under way, and what waits for whom", "Deliver"),
    Command("approve", "modelyard.cli.deliveries:approve", "Approve what waits", "Deliver"),
    Command("reject", "modelyard.cli.deliveries:reject", "Reject what waits, with a reason", "Deliver"),
)
GROUPS = ("Build", "Deliver", "Run")


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
        sys.stdout.write(f"yard {modelyard.__version__}\n")
        return 0
    from modelyard.cli.running import run  # the parser costs 0.2 s, which the two answers above need not pay

    try:
        return run(words, COMMANDS)
    except ModelyardError as error:
        _tell(error, as_json="--json" in words)
        return EXIT_CODE[error.kind]
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_CODE[Kind.INTERNAL]


def _tell(error: ModelyardError, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(msgspec.json.encode({"error": error.body()}).decode() + "\n")
        return
    hint = f"\n  {error.hint}" if error.hint else ""
    sys.stderr.write(f"yard: {error.message} [{error.code}]{hint}\n")


if __name__ == "__main__":
    sys.exit(main())
