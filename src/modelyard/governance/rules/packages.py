"""The packages of a training environment out of its `uv.lock`: which were installed, which only may have been. Pure.

Owns the walk and the markers (PEP 508) that can be decided from what was recorded.
"""

import re
import tomllib
from collections.abc import Mapping
from typing import Any

import msgspec

TOKEN = re.compile(r"\s*(\(|\)|'[^']*'|\"[^\"]*\"|[<>=!~]=|[<>]|[a-z_]+)")
VERSIONS = ("python_full_version", "python_version")
Facts = Mapping[str, str]


class Package(msgspec.Struct, frozen=True, kw_only=True):
    """A package of the environment by name and version. `digests` are of its files, any of which may have been installed.

    An optional one depends on something that is not on record, such as the operating system.
    """

    name: str
    version: str
    digests: tuple[str, ...] = ()
    is_optional: bool = False


def locked_packages(lock: bytes, facts: Facts) -> tuple[Package, ...]:
    """The packages that the project of a lock needs at run time, by name; markers are decided by `facts`, such as `python_full_version`."""
    found = tomllib.loads(lock.decode())
    packages: dict[tuple[str, str], dict[str, Any]] = {(one["name"], one.get("version", "")): one for one in found.get("package", ())}
    needed: dict[tuple[str, str], bool] = {}
    waiting = [(key, True) for key, one in packages.items() if _is_project(one)]
    while waiting:
        key, is_sure = waiting.pop()
        if needed.get(key, False) or (key in needed and not is_sure):
            continue
        needed[key] = is_sure
        for edge in _edges(packages[key]):
            holds = decided(edge.get("marker", ""), facts)
            if holds is not False:
                waiting.extend((other, is_sure and holds is True) for other in _targets(packages, edge))
    return tuple(
        Package(name=name, version=version, digests=_digests(packages[name, version]), is_optional=not needed[name, version])
        for name, version in sorted(needed)
        if not _is_project(packages[name, version]) and "registry" in packages[name, version].get("source", {})
    )


def _is_project(package: Mapping[str, Any]) -> bool:
    source = package.get("source", {})
    return "." in (source.get("virtual"), source.get("editable"))


def _edges(package: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list(package.get("dependencies", ()))


def _targets(packages: Mapping[tuple[str, str], Any], edge: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [key for key in packages if key[0] == edge["name"] and edge.get("version", key[1]) == key[1]]


def _digests(package: Mapping[str, Any]) -> tuple[str, ...]:
    files = [*package.get("wheels", ()), *([package["sdist"]] if "sdist" in package else ())]
    return tuple(str(one["hash"]).removeprefix("sha256:") for one in files if str(one.get("hash", "")).startswith("sha256:"))


def decided(marker: str, facts: Facts) -> bool | None:
    """Whether a marker holds; None where that rests on something that `facts` does not say.

    >>> decided("python_full_version >= '3.12' and sys_platform == 'win32'", {"python_full_version": "3.11.7"})
    False
    >>> decided("sys_platform == 'win32'", {}) is None
    True
    """
    if not marker:
        return True
    tokens = TOKEN.findall(marker)
    value, rest = _either(tokens, facts)
    return None if rest else value


def _either(tokens: list[str], facts: Facts) -> tuple[bool | None, list[str]]:
    value, rest = _both(tokens, facts)
    while rest[:1] == ["or"]:
        other, rest = _both(rest[1:], facts)
        value = True if True in (value, other) else None if None in (value, other) else False
    return value, rest


def _both(tokens: list[str], facts: Facts) -> tuple[bool | None, list[str]]:
    value, rest = _one(tokens, facts)
    while rest[:1] == ["and"]:
        other, rest = _one(rest[1:], facts)
        value = False if False in (value, other) else None if None in (value, other) else True
    return value, rest


def _one(tokens: list[str], facts: Facts) -> tuple[bool | None, list[str]]:
    if tokens[:1] == ["("]:
        value, rest = _either(tokens[1:], facts)
        return value, rest[1:]
    if len(tokens) < 3:
        return None, []
    name, sign, text = tokens[:3]
    return _compared(facts.get(name), sign, text.strip("'\""), by_version=name in VERSIONS), tokens[3:]


def _compared(given: str | None, sign: str, asked: str, *, by_version: bool) -> bool | None:
    if given is None or sign not in ("==", "!=", "<", "<=", ">", ">="):
        return None
    left: Any = _numbers(given) if by_version else given
    right: Any = _numbers(asked) if by_version else asked
    if by_version and (left is None or right is None):
        return None
    found = {"==": left == right, "!=": left != right, "<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}
    return bool(found[sign])


def _numbers(version: str) -> tuple[int, ...] | None:
    parts = version.split(".")
    return tuple(int(part) for part in (*parts, "0", "0")[:3]) if all(part.isdecimal() for part in parts) else None
