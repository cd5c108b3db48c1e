"""A fresh environment: built anew in a folder of its own, its files checked against what each package says of them.

Owns freshness. The kept environments are never looked at; uv's download cache may serve files, if they are what they should be.
"""

import base64
import csv
import hashlib
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from modelyard.core.digests import Digest
from modelyard.delivery.environments import Beat, Build, Environment, EnvironmentFailed, built_environment, installed_environment
from modelyard.delivery.sources import own_package
from modelyard.storage.blobs import Blobs

READERS = 4
BUILDERS_OWN = frozenset({"_virtualenv.py", "_virtualenv.pth"})
"""What uv itself puts into every environment."""


class Fresh(msgspec.Struct, frozen=True, kw_only=True):
    """A fresh environment: how many files were checked, and the first that uv's cache held otherwise than its package says.

    `wanted` says in words by what it was built.
    """

    environment: Environment
    files: int
    wanted: str = "the lock"
    damaged: str = ""

    @property
    def requirements(self) -> bytes:
        """What was installed, as it was locked."""
        return (Path(self.environment.interpreter).parents[1] / "requirements.txt").read_bytes()

    @property
    def said(self) -> str:
        """What was done, in a sentence."""
        start = f"built anew from {self.wanted}, {self.files:,} files checked"
        return f"{start}; uv's cache held another {self.damaged}, so all was downloaded" if self.damaged else start


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What to build below `folder`: the lock of the project at `source`, with `packages` in other versions, or exact `requirements`.

    An empty `modelyard` takes today's package.
    """

    folder: Path
    python: str
    modelyard: Digest | None = None
    source: Path | None = None
    packages: tuple[str, ...] = ()
    requirements: bytes = b""

    @property
    def said(self) -> str:
        """What says which packages, in words."""
        return "the lock" if self.source is not None else "the recorded versions"


def fresh_environment(blobs: Blobs, wanted: Wanted, beat: Beat) -> Fresh:
    """The environment that is wanted, built below its folder, which must be empty.

    Files are taken from uv's cache and checked; where one is not what its package says, all is downloaded and checked again.
    Raises EnvironmentFailed, BlobMissing and Corrupted.
    """
    own, folder = own_package() if wanted.modelyard is None else blobs.get_bytes(wanted.modelyard), wanted.folder
    build = Build(
        root=folder / "cached",
        beat=beat,
        python=wanted.python,
        is_kept=False,
        swapped=wanted.packages,
        has_hashes=wanted.source is not None,
    )
    environment = _built(build, wanted, own)
    files, found = checked_files(environment)
    if not found:
        return Fresh(environment=environment, files=files, wanted=wanted.said)
    shutil.rmtree(folder / "cached")
    environment = _built(msgspec.structs.replace(build, root=folder / "downloaded", use_cache=False), wanted, own)
    files, again = checked_files(environment)
    if again:
        raise EnvironmentFailed(
            f"{again[0]} is not what its package says, also when downloaded anew", hint="do you trust the package index?"
        )
    return Fresh(environment=environment, files=files, wanted=wanted.said, damaged=found[0])


def _built(build: Build, wanted: Wanted, own: bytes) -> Environment:
    if wanted.source is None:
        return installed_environment(build, wanted.requirements, own)
    return built_environment(build, wanted.source, own)


def checked_files(environment: Environment) -> tuple[int, list[str]]:
    """How many files were held against their package's own list, and those that differ, are missing or stand in no list; sorted."""
    recorded = [(name, os.path.normpath(packages / name), expected) for packages, name, expected in _recorded(environment)]
    with ThreadPoolExecutor(READERS) as readers:
        sound = readers.map(lambda one: _is_sound(one[1], one[2]), recorded)
        wrong = [name for (name, _, _), is_sound in zip(recorded, sound, strict=True) if not is_sound]
    listed = {path for _, path, _ in recorded}
    for packages in _packages(environment):
        for folder, _, names in os.walk(packages):
            there = (os.path.join(folder, name) for name in names if name not in BUILDERS_OWN)  # noqa: PTH118 - thousands of them
            wrong += [os.path.relpath(path, packages) for path in there if path not in listed]
    return len(listed), sorted(wrong)


def _is_sound(path: str, expected: str) -> bool:
    try:
        with open(path, "rb") as stream:  # noqa: PTH123 - thousands of them
            digest = hashlib.file_digest(stream, "sha256").digest() if expected else b""
    except OSError:
        return False
    return not expected or "sha256=" + base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == expected


def _recorded(environment: Environment) -> Iterator[tuple[Path, str, str]]:
    """Each line of each package's RECORD: the folder that it counts from, the file, and its hash, empty where it has none."""
    for packages in _packages(environment):
        for record in packages.glob("*.dist-info/RECORD"):
            with record.open(encoding="utf-8", newline="") as lines:
                yield from ((packages, line[0], line[1]) for line in csv.reader(lines) if line)


def _packages(environment: Environment) -> Iterator[Path]:
    yield from sorted(Path(environment.interpreter).parents[1].glob("lib/python*/site-packages"))
