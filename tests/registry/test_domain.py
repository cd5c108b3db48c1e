"""Signatures hold what encoding relies on, also when they are built in Python."""

import pytest

from modelyard.core.errors import InvalidInput
from modelyard.registry.domain import Column, Signature


def test_a_string_column_names_its_categories_and_no_other_column_does() -> None:
    with pytest.raises(InvalidInput, match="without categories"):
        Column(name="origin", dtype="string")
    with pytest.raises(InvalidInput, match="with categories"):
        Column(name="hour", dtype="int64", categories=("1",))


def test_categories_and_columns_are_named_once() -> None:
    with pytest.raises(InvalidInput, match="twice"):
        Column(name="origin", dtype="string", categories=("JFK", "JFK"))
    hour = Column(name="hour", dtype="int64")
    with pytest.raises(InvalidInput, match="hour"):
        Signature(inputs=(hour, hour))
    with pytest.raises(InvalidInput):
        Signature(inputs=())
