"""Which names, aliases and tags the registry takes: MLflow's limits, in MLflow's words. Owns no lookup."""

import json
import posixpath
import re
import urllib.parse

from modelyard.core.errors import InvalidInput
from modelyard.core.names import NAME
from modelyard.registry.domain import AliasName, ModelName
from modelyard.tracking.rules.names import checked_key, checked_length

LONGEST_NAME = 256
LONGEST_ALIAS = 255
LONGEST_KEY = 250
LONGEST_VALUE = 100_000
LONGEST_DESCRIPTION = 20_000
PROMPT_TAG = "mlflow.prompt.is_prompt"
"""The tag by which MLflow's clients mark a prompt, which is kept among models there and not here."""

_ALIAS = re.compile(r"[\w-]+")
_VERSION = re.compile(r"v\d+", re.IGNORECASE)
_WORDS = "Names may only contain alphanumerics, underscores (_), and dashes (-)."


def is_sound(text: str) -> bool:
    """Whether a database can hold the text: no NUL, no half of a character.

    >>> is_sound("ünï"), is_sound("a\\0b")
    (True, False)
    """
    return "\0" not in text and not any("\ud800" <= c <= "\udfff" for c in text)


def is_plain(name: str) -> bool:
    """Whether a model of that name may be declared and deployed: its name stands in files, columns and addresses then."""
    return NAME.fullmatch(name) is not None and ".." not in name


def page_of(model: str, number: int = 0) -> str:
    """The address of a model's page, or of a version's: names may hold whatever an address must quote.

    >>> page_of("churn (v2)", 3)
    '/models/churn%20%28v2%29/versions/3'
    """
    path = f"/models/{urllib.parse.quote(model, safe='')}"
    return f"{path}/versions/{number}" if number else path


def checked_model_name(name: str, path: str = "name") -> ModelName:
    """`name` where it may name a model that an MLflow client makes: anything that is no path. Raises InvalidInput.

    >>> checked_model_name("churn (v2), ünï")
    'churn (v2), ünï'
    """
    if not name.strip():
        raise InvalidInput(f"Missing value for required parameter '{path}'.")
    if "/" in name or ":" in name:
        raise InvalidInput(f"Invalid model name '{name[:LONGEST_NAME]}'. Names cannot contain '/' or ':'.")
    normal = posixpath.normpath(name)
    if normal != name or normal == "." or normal.startswith(".."):
        raise InvalidInput(
            f"Invalid value {json.dumps(name[:LONGEST_NAME])} for parameter 'name' supplied: Names may be treated as files in certain "
            f"cases, and must not resolve to other names when treated as such. This name would resolve to {normal[:LONGEST_NAME]!r}"
        )
    if not name.isprintable():
        raise InvalidInput(f"Invalid model name {name[:LONGEST_NAME]!r}. Names cannot contain characters that are not shown.")
    return ModelName(sound(checked_length(name, "name", LONGEST_NAME), "name"))


def sound(text: str, what: str) -> str:
    """`text` where a database can hold it. Raises InvalidInput."""
    if not is_sound(text):
        raise InvalidInput(f"'{what}' holds the character NUL or half of one, which no text here may hold")
    return text


def checked_alias(text: str) -> AliasName:
    """`text` where it is an alias's word. Raises InvalidInput.

    >>> checked_alias("champion")
    'champion'
    """
    if not text:
        raise InvalidInput("Registered model alias name cannot be empty.")
    if not _ALIAS.fullmatch(text):
        raise InvalidInput(f"Invalid alias name: '{text[:LONGEST_ALIAS]}'. {_WORDS}")
    return AliasName(checked_length(text, "Registered model alias name", LONGEST_ALIAS))


def checked_new_alias(text: str) -> AliasName:
    """`text` where it may point to a version from now on. Raises InvalidInput for one that could be taken for a version."""
    alias = checked_alias(text)
    if alias.lower() == "latest":
        raise InvalidInput("'latest' alias name (case insensitive) is reserved.", hint="choose a word, such as champion")
    if _VERSION.fullmatch(alias):
        raise InvalidInput(f"Version alias name '{alias}' is reserved.", hint="choose a word, such as champion")
    return alias


def checked_tag(key: str, value: str) -> tuple[str, str]:
    """A tag of a model or version within the limits. Raises InvalidInput."""
    if not key:
        raise InvalidInput(
            "Invalid value \"\" for parameter 'key' supplied: Names may be treated as files in certain cases, and must not resolve to "
            "other names when treated as such. This name would resolve to '.'"
        )
    return checked_key(key, "key", "key"), sound(checked_length(value, "value", LONGEST_VALUE), "value")


def checked_description(text: str) -> str:
    """`text` where it may describe a model or version. Raises InvalidInput."""
    return sound(checked_length(text, "description", LONGEST_DESCRIPTION), "description")
