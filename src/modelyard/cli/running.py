"""Parses a command's words and runs it. Owns the parser; the commands are loaded by name when they are called."""

import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError

import modelyard
from modelyard.cli.table import COMMANDS
from modelyard.core.names import nearest

WRONG_USAGE = 2


def run(words: Sequence[str]) -> int:
    """The exit code of the command that `words` name; 2 where they are wrong."""
    names = [command.name for command in COMMANDS]
    if words[0] not in names:
        sys.stderr.write(f"yard: there is no command {words[0]!r}; {nearest(words[0], names)}\n")
        return WRONG_USAGE
    app = App(name="yard", version=modelyard.__version__, help_format="plaintext")
    for command in COMMANDS:
        if command.name == words[0]:
            app.command(command.home, name=command.name, help=command.about)
    try:
        result = app(list(words), exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        sys.stderr.write(f"yard {words[0]}: {error}\n  yard {words[0]} --help shows what it takes\n")
        return WRONG_USAGE
    return result if isinstance(result, int) else 0
