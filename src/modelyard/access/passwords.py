"""Passwords: how they are hashed and verified, and which are refused. Owns argon2's parameters and the list of common words."""

import re
import threading
import unicodedata

import argon2

from modelyard.access.domain import WeakPassword

LEAST = 12
MOST = 256

# OWASP's first choice for argon2id (46 MiB, one pass, one lane); a few at once, so that guesses cannot take all memory.
_HASHER = argon2.PasswordHasher(time_cost=1, memory_cost=47104, parallelism=1)
# Verified where an account has no password, so that the answer takes as long; a test holds it to today's parameters.
_NOBODYS = "$argon2id$v=19$m=47104,t=1,p=1$cH7xc6VctUAh9gh2qLt0vw$dJr43Pn9XujoEwieOFk1yUmHB9k8Dy1/RvG+FJfnJ4w"
_AT_ONCE = threading.BoundedSemaphore(2)

_UNLEET = str.maketrans("0134578@$!€", "oieastbasie")
_ROWS = (
    "abcdefghijklmnopqrstuvwxyz",
    "qwertyuiopasdfghjklzxcvbnm",
    "qwertzuiopasdfghjklyxcvbnm",
    "azertyuiopqsdfghjklmwxcvbn",
    "01234567890",
)
_WORDS = """
    access admin administrator adminadmin asdf asdfghjkl baseball batman changeme charlie company correcthorse
    correcthorsebatterystaple default demo dragon football freedom guest hello hunter iloveyou letmein letmeinplease
    login love machinelearning master michael mlflow mlops modelyard monkey mustang pass passphrase passwd password
    passwordpassword princess qwerty qwertyuiop qwertyqwerty root secret service shadow spring summer sunshine
    superman superuser system temp temporary test testing testtest trustno trustnoone user welcome welcomehome winter
    autumn whatever yard yardadmin zaq zaqwsx qazwsx qazwsxedc iloveyousomuch thisisapassword thisismypassword
    mypassword newpassword yourpassword nopassword supersecret topsecret verysecret
"""
_COMMON = frozenset(_WORDS.split())


def hashed(password: str) -> str:
    """The argon2id hash of `password`, with its salt and parameters (PHC string format)."""
    with _AT_ONCE:
        return _HASHER.hash(_bytes(password))


def is_right(password: str, stored: str | None) -> bool:
    """Whether `password` is the one behind `stored`. It takes as long where nothing is stored: who has an account is not told."""
    with _AT_ONCE:
        try:
            return _HASHER.verify(stored or _NOBODYS, _bytes(password)) and stored is not None
        except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
            return False


def _bytes(password: str) -> bytes:
    """The bytes that are hashed: one way of typing a character is as good as another."""
    return unicodedata.normalize("NFKC", password).encode(errors="surrogatepass")


def is_outdated(stored: str) -> bool:
    """Whether `stored` was made with other parameters than today's, so that the next right login replaces it."""
    return _HASHER.check_needs_rehash(stored)


def check_password(password: str, name: str) -> None:
    """Raises WeakPassword where `password` is too short, too long, common, a row of keys, or built on the account's name.

    >>> check_password("four plain words do", "ada")
    """
    hint = "a few plain words that do not belong together do well"
    if len(password) < LEAST:
        raise WeakPassword(f"the password has {len(password)} characters; it needs at least {LEAST}", hint=hint)
    if len(password) > MOST:
        raise WeakPassword(f"the password has {len(password)} characters; at most {MOST} are taken", hint="shorten it")
    lowered = password.lower()
    core = re.sub(r"^[^a-z]+|[^a-z]+$", "", lowered)
    bare = re.sub(r"[^a-z]", "", core.translate(_UNLEET))
    letters = re.sub(r"[^a-z]", "", lowered)
    named = re.sub(r"[^a-z0-9]", "", name.lower())
    rest = re.sub(r"[^a-z0-9]", "", lowered).replace(named, "") if len(named) > 2 else lowered
    if bare in _COMMON or letters in _COMMON or _repeated(bare) in _COMMON or len(set(lowered)) < 5 or _is_row(lowered) or len(rest) < 6:
        raise WeakPassword("the password is among the first that anyone would try", hint=hint)


def _repeated(text: str) -> str:
    """The part that `text` is made of by repeating it, or `text`."""
    size = (text + text).find(text, 1)
    return text[:size] if 0 < size < len(text) else text


def _is_row(text: str) -> bool:
    """Whether most of `text` runs along the alphabet, the digits or a keyboard, either way."""
    rows = [row for one in _ROWS for row in (one, one[::-1])]
    steps = sum(any(pair in row for row in rows) for pair in (text[i : i + 2] for i in range(len(text) - 1)))
    return steps >= 0.8 * (len(text) - 1)
