"""Which ingredient of a rebuild was not as it was recorded, in words that name it: the rows, the file, the library's versions.

Owns the words; what came of it is `comparison`'s business.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from fnmatch import fnmatchcase

from modelyard.core.digests import Digest, digest_bytes
from modelyard.delivery.domain import Comparison, Difference, Ingredient
from modelyard.delivery.sources import LOCK, opened_source

MOST_NAMED = 5
REQUIREMENT = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)
UNREPEATED = "everything that it was made from is as recorded, so the training does not repeat itself"
PROCESSOR = "processor"
PYTHON = "Python"
OWN_PACKAGE = "Modelyard's own package"


def file_differences(recorded: bytes, taken: bytes, *, besides: Collection[str] = ()) -> list[Difference]:
    """The files by which two archives of source differ, but for the lock, whose changes are those of libraries.

    `besides` are files, folders and patterns that hold data, and are no code.
    """
    before, after = ({name: one for name, one in _files(archive).items() if not _is_any(name, besides)} for archive in (recorded, taken))
    changed = [name for name in sorted(before.keys() & after.keys()) if before[name] != after[name] and name != LOCK]
    said = [
        *(f"{name} has other content" for name in changed),
        *(f"{name} is new" for name in sorted(after.keys() - before.keys())),
        *(f"{name} is gone" for name in sorted(before.keys() - after.keys())),
    ]
    return [Difference(ingredient=Ingredient.CODE, said=_listed(said))] if said else []


def library_differences(recorded: bytes, taken: bytes) -> list[Difference]:
    """The packages by which two exported locks differ, with both versions.

    >>> library_differences(b"lightgbm==4.6.0 \\\\\\n    --hash=sha256:aa", b"lightgbm==4.5.0 \\\\\\n    --hash=sha256:bb")[0].said
    'lightgbm 4.5.0 instead of 4.6.0'
    """
    before, after = _versions(recorded), _versions(taken)
    said = [
        f"{name} {after[name]} instead of {before[name]}" if name in after and name in before else _one_sided(name, after)
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]
    if not said and recorded != taken:
        said = ["the same versions, of which some come in other files"]
    return [Difference(ingredient=Ingredient.LIBRARY, said=_listed(said))] if said else []


def surrounding_differences(around: Mapping[str, Comparison]) -> list[Difference]:
    """What of Modelyard's own package, Python and the processor is not as it was recorded."""
    named = ((OWN_PACKAGE, Ingredient.LIBRARY), (PYTHON, Ingredient.PYTHON), (PROCESSOR, Ingredient.PROCESSOR))
    return [Difference(ingredient=ingredient, said=_instead(around[what])) for what, ingredient in named if not around[what].is_equal]


def told(differences: Sequence[Difference]) -> str:
    """The start of a sentence that goes on with what came of the differences; nothing where there are none."""
    said = ", ".join(f"{one.ingredient} ({one.said})" for one in differences)
    return f"not as recorded: {said}; " if said else ""


def _instead(one: Comparison) -> str:
    before = one.recorded.removeprefix("sha256:")[:48] or "one that was not recorded"
    return f"{one.what} {one.rebuilt.removeprefix('sha256:')[:48]} instead of {before}"


def _one_sided(name: str, after: Mapping[str, str]) -> str:
    return f"{name} {after[name]} is new" if name in after else f"{name} is gone"


def _versions(requirements: bytes) -> dict[str, str]:
    """Each package's version; of one that has several, by version of Python, all of them."""
    found: dict[str, list[str]] = {}
    for name, version in REQUIREMENT.findall(requirements.decode("utf-8", "replace")):
        found.setdefault(name.lower().replace("_", "-"), []).append(version)
    return {name: " or ".join(sorted(versions)) for name, versions in found.items()}


def _files(archive: bytes) -> dict[str, Digest]:
    with opened_source(archive) as opened:
        contents = ((member.name, opened.extractfile(member)) for member in opened.getmembers() if member.isreg())
        return {name: digest_bytes(stream.read()) for name, stream in contents if stream is not None}


def _is_any(name: str, places: Collection[str]) -> bool:
    return any(name == place or name.startswith(f"{place}/") or fnmatchcase(name, place) for place in places)


def _listed(said: list[str]) -> str:
    more = f" and {len(said) - MOST_NAMED} more" if len(said) > MOST_NAMED else ""
    return ", ".join(said[:MOST_NAMED]) + more
