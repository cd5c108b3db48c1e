"""Parses a command's words and runs it. Owns the parser; the commands are loaded by name when they are called."""

import gc
import sys
from collections.abc import Sequence
from importlib import import_module

from cyclopts import App, CycloptsError

from modelyard.cli.table import COMMANDS, Command
from modelyard.core.errors import InvalidInput, ModelyardError
from modelyard.core.names import nearest

HELP = ("--help", "-h")


class WrongUsage(InvalidInput):
    """Words that make no command; the exit code is 2."""


class ServerInstallMissing(ModelyardError):
    """The command needs what `modelyard[server]` brings, and `modelyard` alone is installed."""


def run(words: Sequence[str]) -> int:
    """The exit code of the command that `words` name.

    Raises WrongUsage with what is nearest to a wrong word, and ServerInstallMissing where the base install does not do.
    """
    command = _named(words)
    if command is None:
        return _explained(words)
    _load(command)
    *group, word = command.name.split(" ")
    rest = list(words[len(group) :])
    app = App(name=" ".join(["yard", *group]), help_format="plaintext", version_flags=[])
    app.command(command.home, name=word)
    try:
        result = app(rest, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        raise WrongUsage(f"{command.name}: {_said(error)}", hint=f"yard {command.name} --help shows what it takes") from error
    return result if isinstance(result, int) else 0


def _load(command: Command) -> None:
    """Loads the module of a command. Raises ServerInstallMissing where a library is missing that it stands on.

    The collector of garbage waits meanwhile, and passes over what was loaded for good: looking through all of it again and again
    would take a third of the time.
    """
    gc.disable()
    try:
        import_module(command.home.partition(":")[0])
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "modelyard":
            raise
        raise ServerInstallMissing(
            f"yard {command.name} needs {error.name}, which a base install does not bring", hint="pip install 'modelyard[server]'"
        ) from error
    finally:
        gc.freeze()
        gc.enable()


def _named(words: Sequence[str]) -> Command | None:
    """The command whose words the given ones begin with."""
    return next((one for one in COMMANDS if (parts := one.name.split(" ")) == list(words[: len(parts)])), None)


def _explained(words: Sequence[str]) -> int:
    """Lists a group's commands where the words name a group alone. Raises WrongUsage for any other word."""
    group = [one for one in COMMANDS if one.name.startswith(words[0] + " ")]
    if not group:
        names = [one.name for one in COMMANDS]
        raise WrongUsage(f"there is no command {words[0]!r}", hint=nearest(words[0], [*names, *(name.split(" ")[0] for name in names)]))
    asked = words[1] if len(words) > 1 else ""
    known = [one.name.split(" ")[1] for one in group]
    if asked in HELP:
        width = max(len(one.name) for one in group) + 2
        lines = [f"Usage: yard {words[0]} COMMAND [OPTIONS]", "", *(f"  {one.name:<{width}}{one.about}" for one in group)]
        sys.stdout.write("\n".join([*lines, "", f"Example: yard {group[0].name} --help"]) + "\n")
        return 0
    if not asked or asked.startswith("-"):
        raise WrongUsage(f"{words[0]} is several commands", hint=" or ".join(f"yard {one.name}" for one in group))
    raise WrongUsage(f"there is no command {words[0]} {asked!r}", hint=nearest(asked, known))


def _said(error: CycloptsError) -> str:
    """The parser's sentence without its own way of naming the command."""
    text = str(error).strip()
    _, separator, rest = text.partition('" parameter ')
    return rest if separator else text
