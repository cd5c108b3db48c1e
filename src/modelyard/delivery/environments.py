"""The environments that training runs in: built from a project's lock, kept by digest, shared by all who have the same lock.

Owns how an environment comes to be. What runs in it is `training`'s business.
"""

import contextlib
import fcntl
import io
import logging
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import PIPE

import msgspec
import uv

from modelyard.core.digests import Digest, digest_bytes
from modelyard.core.errors import Kind, ModelyardError
from modelyard.core.processes import end_child, tied, words_for_child
from modelyard.delivery.sources import LOCK

Beat = Callable[[], object]
BUILD_TIMEOUT_S = 900.0
BEAT_S = 0.2
PYTHON = ".".join(map(str, sys.version_info[:3]))
OUTSIDE_WORDS = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR")


class EnvironmentFailed(ModelyardError):
    """The project's locked environment could not be built."""

    kind = Kind.INVALID


class Build(msgspec.Struct, frozen=True, kw_only=True):
    """How environments are built: below `root`, for which Python, and without the cache with every file downloaded anew.

    One that is not kept is used once: its bytecode is not compiled ahead, which takes longer than all else of the building.
    `swapped` are versions to take instead of the locked ones, each `name==version`; without hashes, a requirement names its
    version alone. `beat` is called again and again
    meanwhile; what it raises ends the build and comes through.
    """

    root: Path
    beat: Beat
    python: str = PYTHON
    use_cache: bool = True
    is_kept: bool = True
    swapped: tuple[str, ...] = ()
    has_hashes: bool = True


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """A built environment. `digest` covers the locked requirements, Python's version and Modelyard's own source."""

    digest: Digest
    requirements: Digest
    modelyard: Digest
    python: str
    interpreter: str
    own_folder: str


def locked_requirements(source: Path, beat: Beat) -> bytes:
    """The project's locked requirements with hashes, Modelyard apart. Raises EnvironmentFailed where there is no lock."""
    if not (source / LOCK).is_file():
        raise EnvironmentFailed(f"the project has no {LOCK}", hint="run uv lock in the project and commit the file")
    command = ["export", "--frozen", "--no-emit-project", "--no-emit-package", "modelyard", "--no-header", "--no-annotate", "--no-dev"]
    return _uv([*command, "--quiet"], source, beat)


def built_environment(build: Build, source: Path, own: bytes) -> Environment:
    """The environment of the project at `source`, built unless it stands there already. `own` is Modelyard's own package as an archive."""
    return installed_environment(build, _swapped(locked_requirements(source, build.beat), build), own)


def installed_environment(build: Build, requirements: bytes, own: bytes) -> Environment:
    """The environment of exactly these requirements, built unless it stands there already."""
    root, python = build.root, build.python
    parts = (digest_bytes(requirements), digest_bytes(own), python)
    third_party = root / digest_bytes(f"{parts[0]} {python}".encode()).removeprefix("sha256:")[:24]
    own_folder = root / f"modelyard-{parts[1].removeprefix('sha256:')[:24]}"
    if not own_folder.exists():
        _made(own_folder, lambda folder: _unpack(own, folder), build.beat)
    if not third_party.exists():
        _made(third_party, lambda folder: _install(requirements, folder, build), build.beat)
    return Environment(
        digest=environment_digest(*parts),
        requirements=parts[0],
        modelyard=parts[1],
        python=python,
        interpreter=str(third_party / "bin" / "python"),
        own_folder=str(own_folder),
    )


def environment_digest(requirements: Digest, own: Digest, python: str) -> Digest:
    """What an environment is known by, wherever it is built."""
    return digest_bytes(f"{requirements} {own} {python}".encode())


def child_words(environment: Environment, threads: int) -> dict[str, str]:
    """The environment variables of a child: no secret of the parent's, threads and hash seed pinned."""
    pinned = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS"), str(threads))
    # Threads that wait sleep: those that spin take the processors from whoever trains beside them, a fit of 2 s becomes one of 12.
    pinned["OMP_WAIT_POLICY"] = "passive"
    return own_words(environment) | pinned | {"PYTHONHASHSEED": "0"}


def own_words(environment: Environment) -> dict[str, str]:
    """The environment variables of any child: those of the machine, and where Modelyard's own package is."""
    outside = {name: os.environ[name] for name in OUTSIDE_WORDS if name in os.environ}
    return outside | {"PYTHONPATH": environment.own_folder, "PYTHONDONTWRITEBYTECODE": "1"}


def _swapped(requirements: bytes, build: Build) -> bytes:
    """The requirements with other versions of some packages, every hash included. Raises EnvironmentFailed for one that is not locked."""
    for pin in build.swapped:
        name = pin.partition("==")[0]
        # A requirement and its hashes are one logical line; one package may have several, for versions of Python.
        block = re.compile(rf"^{re.escape(name).replace('_', '-')}==(?:.*\\\n)*.*\n".encode(), re.MULTILINE | re.IGNORECASE)
        if not block.search(requirements):
            raise EnvironmentFailed(f"{name} is not among the locked packages", hint="yard reproduce --with swaps what uv.lock names")
        with tempfile.TemporaryDirectory(prefix="modelyard-pin-") as scratch:
            wanted = Path(scratch, "wanted.in")
            wanted.write_text(pin)
            options = ["--quiet", "--no-deps", "--generate-hashes", "--no-header", "--no-annotate", "--python-version", build.python]
            line = _uv(["pip", "compile", *options, str(wanted)], Path(scratch), build.beat)
        requirements = block.sub(b"", requirements) + line
    return requirements


def _made(folder: Path, make: Callable[[Path], None], beat: Beat) -> None:
    """Makes a folder under another name and renames it, so that a killed build leaves nothing that looks finished.

    One at a time, whoever else wants it waits; what a killed build has left is removed by the next one.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f".{folder.name}.lock").open("w") as lock:
        while not _locked(lock.fileno()):
            beat()
            time.sleep(BEAT_S)
        building = folder.with_name(f".{folder.name}")
        shutil.rmtree(building, ignore_errors=True)
        if not folder.exists():
            make(building)
            building.rename(folder)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _unpack(archive: bytes, folder: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        opened.extractall(folder, filter="data")


def _install(requirements: bytes, folder: Path, build: Build) -> None:
    python = sys.executable if build.python == PYTHON else build.python
    _uv(["venv", "--quiet", "--python", python, str(folder)], folder.parent, build.beat)
    lock = folder / "requirements.txt"
    lock.write_bytes(requirements)
    interpreter = str(folder / "bin" / "python")
    # Children write no bytecode into what they share, and each would compile for seconds.
    speed = [*(["--compile-bytecode"] if build.is_kept else []), *([] if build.use_cache else ["--no-cache"])]
    checks = ["--require-hashes"] if build.has_hashes else []
    _uv(["pip", "install", "--quiet", *speed, *checks, "--no-deps", "--python", interpreter, "-r", str(lock)], folder, build.beat)


def _uv(arguments: list[str], folder: Path, beat: Beat) -> bytes:
    words = {name: value for name, value in os.environ.items() if not name.startswith(("MODELYARD_", "VIRTUAL_ENV", "UV_PROJECT"))}
    command, words = tied([uv.find_uv_bin(), *arguments]), words_for_child(words)
    # A group of its own: a signal for the worker's reaches it through `beat` alone.
    with subprocess.Popen(command, cwd=folder, env=words, stdout=PIPE, stderr=PIPE, process_group=0) as child:  # noqa: S603 - our own words
        try:
            output, errors = _heard(child, arguments[0], beat)
        finally:
            end_child(child)
    if child.returncode != 0:
        told = errors.decode(errors="replace").strip()[-1500:]
        raise EnvironmentFailed(f"uv {arguments[0]} failed: {told}", hint=f"check {LOCK} against pyproject.toml: uv lock --check")
    logging.getLogger("modelyard.delivery").info("uv %s done", arguments[0])
    return output


def _heard(child: "subprocess.Popen[bytes]", name: str, beat: Beat) -> tuple[bytes, bytes]:
    until = time.monotonic() + BUILD_TIMEOUT_S
    while time.monotonic() < until:
        beat()
        with contextlib.suppress(subprocess.TimeoutExpired):
            return child.communicate(timeout=BEAT_S)
    raise EnvironmentFailed(f"uv {name} took over {BUILD_TIMEOUT_S:.0f} s", hint="is the package index reachable?")
