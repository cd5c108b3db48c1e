"""The example request: a row with everything that a version is asked with, and a command that a shell takes as it stands."""

import json
import shlex

import msgspec

from modelyard.core.digests import Digest
from modelyard.features.domain import FeatureSet
from modelyard.registry.domain import Format
from modelyard.serving.domain import ServedVersion
from modelyard.serving.example import example_command, example_row
from tests.serving.world import LATE, SET, SIGNATURE

VERSION = ServedVersion(number=1, format=Format.LIGHTGBM, artifact=Digest("sha256:00"), signature=SIGNATURE, feature_set=SET)


def asked(command: str) -> list[str]:
    """The words that a shell hands to curl."""
    return shlex.split(command)


def test_a_row_names_keys_and_request_columns_and_no_feature() -> None:
    assert example_row(VERSION, {}) == {"origin": "EWR", "hour": 1, "distance": 1.0}
    assert example_row(VERSION, {"origin": "JFK", "unasked": 1})["origin"] == "JFK"
    assert list(example_row(msgspec.structs.replace(VERSION, feature_set=None), {})) == list(SIGNATURE.names)


def test_a_key_that_is_no_column_of_the_model_has_a_value_too() -> None:
    columns = tuple(column for column in SIGNATURE.inputs if column.name != "origin")
    version = msgspec.structs.replace(VERSION, signature=msgspec.structs.replace(SIGNATURE, inputs=columns))
    assert isinstance(version.feature_set, FeatureSet)
    assert example_row(version, {})["origin"] == "example"


def test_the_command_survives_a_shell_whatever_the_values_hold() -> None:
    row = {"hub": 'L\'Aquila "x" $HOME `id`', "km": 1}
    words = asked(example_command("http://127.0.0.1:7701", LATE, row, asks_login=True))
    assert words[:4] == ["curl", "http://127.0.0.1:7701/predict/late", "-H", "Authorization: Bearer $MODELYARD_TOKEN"]
    assert json.loads(words[-1]) == {"rows": [row]}
    assert "Authorization" not in example_command("http://127.0.0.1:7701", LATE, row, asks_login=False)
