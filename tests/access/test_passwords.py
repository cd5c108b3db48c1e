"""Passwords: the form of their hashes, and those that anyone would try."""

import pytest
from argon2 import PasswordHasher, extract_parameters
from argon2.low_level import Type

from modelyard.access import passwords
from modelyard.access.domain import WeakPassword


def test_a_hash_is_argon2id_with_its_own_salt_and_the_documented_cost() -> None:
    one, two = passwords.hashed("purple engine lake"), passwords.hashed("purple engine lake")
    assert one != two
    assert one.startswith("$argon2id$v=19$m=47104,t=1,p=1$")
    found = extract_parameters(one)
    assert (found.type, found.salt_len, found.hash_len) == (Type.ID, 16, 32)


def test_only_the_right_password_is_right_and_none_where_nothing_is_stored() -> None:
    stored = passwords.hashed("purple engine lake")
    assert passwords.is_right("purple engine lake", stored)
    assert not passwords.is_right("purple engine laki", stored)
    assert not passwords.is_right("purple engine lake", None)
    assert not passwords.is_right("x", "no hash at all")


def test_the_hash_of_nobody_costs_what_every_other_costs() -> None:
    assert not passwords.is_outdated(passwords._NOBODYS)


def test_a_hash_under_other_parameters_is_outdated() -> None:
    assert passwords.is_outdated(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("purple engine lake"))


@pytest.mark.parametrize(
    "password",
    [
        "short",
        "x" * 300,
        "aaaaaaaaaaaaaaa",
        "123456789012",
        "qwertyuiop[]",
        "abcdefghijklm",
        "Password2026!!",
        "P@ssw0rd1234",
        "letmeinletmein",
        "correct horse battery staple",
        "modelyard2026",
        "ada-lovelace-1",
        "Welcome12345!",
    ],
)
def test_passwords_that_anyone_would_try_are_refused(password: str) -> None:
    with pytest.raises(WeakPassword):
        passwords.check_password(password, "ada-lovelace")


@pytest.mark.parametrize("password", ["purple engine lake", "Tr0ub4dor&3-sails", "größere Brücken im Mai", "xkdjw-92mal-qpzee"])
def test_a_few_unrelated_words_or_random_letters_are_taken(password: str) -> None:
    passwords.check_password(password, "ada")
