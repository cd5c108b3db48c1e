"""Source as others can rebuild it, a project's and Modelyard's own: one archive whose bytes follow from its content alone."""

import io
import os
import subprocess
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from modelyard.core.errors import InvalidInput, Kind, ModelyardError

SKIPPED_FOLDERS = frozenset({".git", ".venv", ".yard", "__pycache__", "node_modules", ".mypy_cache", ".ruff_cache", ".pytest_cache"})
LOCK = "uv.lock"
MOST_FILE_BYTES = 2_000_000
MOST_TOTAL_BYTES = 50_000_000


MOST_FILES = 50_000
APPLY = "yard apply sends a project's source as it must be"


class BadSource(InvalidInput):
    """An archive of source that no `yard apply` made."""


class ProjectNotFound(ModelyardError):
    """There is no project here."""

    kind = Kind.MISSING


def project_folder(start: Path) -> Path:
    """The nearest folder upward from `start` that has a `modelyard.toml`. Raises ProjectNotFound."""
    for folder in (start.absolute(), *start.absolute().parents):
        if (folder / "modelyard.toml").is_file():
            return folder
    raise ProjectNotFound(f"no modelyard.toml in {start} or above it", hint="yard init makes a project")


def source_folder(start: Path) -> Path:
    """The project's folder, else `start` itself, as a script without a project has it. Raises ProjectNotFound for a home or the root."""
    try:
        return project_folder(start)
    except ProjectNotFound:
        folder = start.absolute()
        if folder in (Path.home(), Path(folder.anchor)):
            raise
        return folder


def source_files(folder: Path) -> Iterator[Path]:
    """The project's own files, sorted: what git knows or would add, else all but caches; without data beyond 2 MB, but with the lock."""
    known = _known_to_git(folder)
    for name in sorted({*(known if known is not None else _walked(folder)), LOCK}):
        path = folder / name
        if (
            path.is_file()
            and not path.is_symlink()
            and (name == LOCK or path.stat().st_size <= MOST_FILE_BYTES)
            and not SKIPPED_FOLDERS & set(Path(name).parts)
        ):
            yield path


def source_archive(folder: Path) -> bytes:
    """The project's files as a tar archive: equal content gives equal bytes. Raises InvalidInput beyond 50 MB or 50,000 files."""
    paths = list(source_files(folder))
    if len(paths) > MOST_FILES:
        raise InvalidInput(
            f"{folder} holds {len(paths)} files of source; {MOST_FILES} is the most",
            hint="keep data out of the project, or have git ignore it",
        )
    if sum(path.stat().st_size for path in paths) > MOST_TOTAL_BYTES:
        raise InvalidInput(
            f"{folder} holds more than {MOST_TOTAL_BYTES // 10**6} MB of source", hint="keep data out of the project, or ignore it"
        )
    return _archive(folder, paths)


def own_package() -> bytes:
    """Modelyard's own source as an archive: a part of every environment."""
    package = Path(__file__).parents[1]
    return _archive(package.parent, sorted(package.rglob("*.py")))


def _archive(root: Path, paths: Iterable[Path]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in paths:
            content = path.read_bytes()
            entry = tarfile.TarInfo(path.relative_to(root).as_posix())
            entry.size, entry.mode, entry.mtime = len(content), 0o644, 0
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def unpack_source(archive: bytes, folder: Path) -> None:
    """Unpacks an archive into `folder`; members that lead outside, links and devices are refused. Raises BadSource."""
    folder.mkdir(parents=True, exist_ok=True)
    with opened_source(archive) as opened:
        try:
            opened.extractall(folder, filter="data")
        except tarfile.TarError as error:
            raise BadSource(f"the source cannot be unpacked: {error}", hint=APPLY) from error


def opened_source(archive: bytes) -> tarfile.TarFile:
    """A source archive to read: uncompressed, and no more of it than a project may hold. Raises BadSource."""
    try:
        opened = tarfile.open(fileobj=io.BytesIO(archive), mode="r:")  # noqa: SIM115 - its reader closes it
        total = 0
        for count, member in enumerate(opened, 1):
            total += member.size
            if total > MOST_TOTAL_BYTES or count > MOST_FILES or not (member.isreg() or member.isdir()):
                most = f"{MOST_FILES} files and {MOST_TOTAL_BYTES // 10**6} MB"
                raise BadSource(f"{member.name[:80]!r} is no file, or beyond {most}", hint=APPLY)
    except tarfile.TarError as error:
        raise BadSource(f"the source is no tar archive: {error}", hint=APPLY) from error
    return opened


def _known_to_git(folder: Path) -> list[str] | None:
    command = ["git", "-C", str(folder), "ls-files", "--cached", "--others", "--exclude-standard", "-z", "."]
    try:
        found = subprocess.run(command, capture_output=True, check=True, timeout=60)  # noqa: S603 - a fixed command
    except (OSError, subprocess.SubprocessError):
        return None
    return sorted(name for name in found.stdout.decode().split("\0") if name)


def _walked(folder: Path) -> Iterator[str]:
    for where, folders, names in os.walk(folder):
        folders[:] = [one for one in folders if one not in SKIPPED_FOLDERS]
        yield from (Path(where, name).relative_to(folder).as_posix() for name in names)
