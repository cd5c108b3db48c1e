"""A request that a model answers, as an example: a row with everything it is asked with, and the command that sends it.

Owns the example; asks nothing of any store.
"""

import json
import shlex
from collections.abc import Mapping

from modelyard.registry.domain import DType, ModelName
from modelyard.serving.domain import ServedVersion

_VALUES: dict[DType, object] = {"string": "example", "int64": 1, "float64": 1.0, "bool": False}


def example_row(version: ServedVersion, known: Mapping[str, object]) -> dict[str, object]:
    """A row that `version` answers: its keys, from an entity that is `known` where there is one, then its request columns.

    A string column names the first of its categories.
    """
    categories = {column.name: column.categories[0] for column in version.signature.inputs if column.categories}
    return {name: known.get(name, categories.get(name, _VALUES[dtype])) for name, dtype in (*version.keys, *version.request)}


def example_command(url: str, model: ModelName, row: Mapping[str, object], *, asks_login: bool) -> str:
    """The command that asks the gateway at `url` for one prediction; with `asks_login`, with the token of MODELYARD_TOKEN.

    >>> example_command("http://127.0.0.1:7701", ModelName("late"), {"origin": "JFK"}, asks_login=False)
    'curl http://127.0.0.1:7701/predict/late -d \\'{"rows": [{"origin": "JFK"}]}\\''
    """
    token = ' -H "Authorization: Bearer $MODELYARD_TOKEN"' if asks_login else ""
    return f"curl {url}/predict/{model}{token} -d {shlex.quote(json.dumps({'rows': [row]}, ensure_ascii=False))}"
