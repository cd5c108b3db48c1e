"""The words that the commands of roles share, and the settings that come of them."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from modelyard.core.settings import FILE, Settings, read_settings

Data = Annotated[str | None, Parameter(name="--data", help="The data folder; .yard unless the settings name another.")]
Host = Annotated[str | None, Parameter(name="--host", help="The address to bind to.")]
Port = Annotated[int | None, Parameter(help="The port to bind to.")]
Login = Annotated[bool, Parameter(show_default=False, help="--no-login asks nobody who they are; on loopback only.")]
Json = Annotated[bool, Parameter(name="--json", negative="", show_default=False, help="What is ready, as one JSON document.")]


def settings_of(words: Mapping[str, Any], *, login: bool) -> Settings:
    """The settings of this folder, overridden by the words that were given."""
    given = {name: value for name, value in words.items() if value is not None}
    return read_settings(Path(FILE), os.environ, given if login else {**given, "login": False})
