"""Names, near names, and the one shape of errors."""

import pytest

from modelyard.core.errors import EXIT_CODE, HTTP_STATUS, InvalidInput, Kind, ModelyardError
from modelyard.core.names import checked_name, nearest


@pytest.mark.parametrize("text", ["", "1st", "a/b", "a..b", "../etc", "a b", "a\0", "é", "a" * 121, "-rf", "$(id)"])
def test_what_could_be_a_path_or_a_command_is_no_name(text: str) -> None:
    with pytest.raises(InvalidInput):
        checked_name(text, "model")


def test_without_a_near_name_a_few_known_ones_are_listed() -> None:
    assert nearest("zzz", ["alpha", "beta"]) == "known: alpha, beta"
    assert nearest("zzz", []) == "there is none yet"


def test_every_kind_of_error_has_a_status_and_an_exit_code() -> None:
    assert set(HTTP_STATUS) == set(EXIT_CODE) == set(Kind)


def test_an_error_says_code_message_and_hint() -> None:
    class TwoWords(ModelyardError):
        kind = Kind.CONFLICT

    body = TwoWords("what", hint="do this").body()
    assert (body.code, body.message, body.hint) == ("two_words", "what", "do this")
