"""How commands name a version: `MODEL/VERSION`, the version by its number or an alias."""

from modelyard.core.errors import InvalidInput
from modelyard.registry.domain import ModelName
from modelyard.sdk.client import Client


def parted(text: str) -> tuple[ModelName, str]:
    """The model, and the version's number or alias. Raises InvalidInput."""
    model, _, name = text.partition("/")
    if not model or not name:
        raise InvalidInput(f"{text!r} names no version", hint="write MODEL/VERSION, such as late_arrival/3 or late_arrival/champion")
    return ModelName(model), name


def numbered(client: Client, model: ModelName, name: str) -> int:
    """The number of a version that is named by it or by an alias. Raises InvalidInput."""
    if name.removeprefix("v").isdecimal():
        return int(name.removeprefix("v"))
    aliases = {str(alias.name): alias.version for alias in client.list_aliases(model)}
    if name not in aliases:
        known = ", ".join(sorted(aliases)) or "none yet"
        raise InvalidInput(f"{model} has no version or alias {name!r}", hint=f"a number, or an alias: {known}")
    return aliases[name]
