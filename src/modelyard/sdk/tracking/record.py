"""What a run can be made again from: source, environment, command, seeds, datasets. Owns the record's form; rebuilds nothing.

Three files of the run, below `modelyard/`: `source.tar`, `environment.txt` and `record.json`; `changes.diff` beside them says
what git had not committed.
"""

import os
import platform
import random
import re
import socket
import subprocess
import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path

import msgspec

from modelyard.core.digests import digest_bytes
from modelyard.core.errors import ModelyardError
from modelyard.core.processor import processor
from modelyard.core.settings import FILE
from modelyard.delivery.sources import SKIPPED_FOLDERS, source_archive
from modelyard.tracking.domain import ENVIRONMENT_DIGEST_TAG, SOURCE_DIGEST_TAG

FOLDER = "modelyard"
SOURCE, ENVIRONMENT, RECORD, CHANGES = (f"{FOLDER}/{name}" for name in ("source.tar", "environment.txt", "record.json", "changes.diff"))
MOST_DIFF_BYTES = 1_000_000
MOST_UNTRACKED = 1000
GIT_TIMEOUT_S = 30.0
COMMIT_TAG, BRANCH_TAG = "mlflow.source.git.commit", "mlflow.source.git.branch"


class UsedDataset(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset that the run read. `path` is relative to the archive's root, or absolute; None where it is not known.

    `digest` is of what was given; `file` of the bytes at `path`, where that was a frame, which need not hold all of the file.
    """

    name: str
    digest: str
    context: str
    path: str | None
    rows: int | None
    file: str | None = None


class RunRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What `modelyard/record.json` holds.

    `command` has `python` for the interpreter, and is None in a notebook; it was called in `folder`, relative to the archive's
    root, which lay at `root`. `tolerance` was fixed before the training: how far the figures of a rebuild may be off.
    """

    command: tuple[str, ...] | None
    folder: str
    python: str
    seeds: dict[str, int]
    processor: str
    tolerance: float
    root: str = ""
    datasets: tuple[UsedDataset, ...] = ()
    commit: str | None = None
    branch: str | None = None
    is_dirty: bool | None = None
    untracked: tuple[str, ...] = ()
    host: str = ""
    source_skipped: str = ""
    format: int = 1


class GitState(msgspec.Struct, frozen=True, kw_only=True):
    """What git says of the source."""

    commit: str
    branch: str
    is_dirty: bool
    untracked: tuple[str, ...]
    diff: bytes


class Collected(msgspec.Struct, frozen=True, kw_only=True):
    """The record of a process, and the files beside it by their paths."""

    record: RunRecord
    files: dict[str, bytes]
    tags: dict[str, str]


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Where a process runs, as it was when the run started: its source's root, its working directory, its command."""

    root: Path
    folder: Path
    command: tuple[str, ...] | None


def origin() -> Origin:
    """Where this process runs. The source is the project's folder, else the script's, else the working directory."""
    folder = Path.cwd()
    script = _script()
    root = next((one for one in (folder, *folder.parents) if (one / FILE).is_file()), None)
    if root is None:
        root = script.parent if script is not None else folder
        if root.is_relative_to(folder):  # the script lies below: called from here, its paths begin here
            root = folder
    if not folder.is_relative_to(root):
        folder = root
    return Origin(root=root, folder=folder, command=_command(root, folder))


def collected(where: Origin, seeds: dict[str, int], tolerance: float) -> Collected:
    """The record, with source and environment. What cannot be had is left out, with the reason in the record."""
    environment = environment_lock().encode()
    files, tags = {ENVIRONMENT: environment}, {ENVIRONMENT_DIGEST_TAG: str(digest_bytes(environment))}
    skipped, git = "", git_state(where.root)
    try:
        files[SOURCE] = _archive(where.root)
        tags[SOURCE_DIGEST_TAG] = str(digest_bytes(files[SOURCE]))
    except (ModelyardError, OSError) as error:
        skipped = str(error)
    if git is not None:
        tags |= {COMMIT_TAG: git.commit, **({BRANCH_TAG: git.branch} if git.branch else {})}
        if git.diff:
            files[CHANGES] = git.diff
    record = RunRecord(
        command=where.command,
        folder=said(where.folder.relative_to(where.root).as_posix()),
        python=platform.python_version(),
        seeds=seeds,
        processor=processor(),
        tolerance=tolerance,
        root=said(str(where.root)),
        commit=git.commit if git else None,
        branch=git.branch or None if git else None,
        is_dirty=git.is_dirty if git else None,
        untracked=git.untracked if git else (),
        host=socket.gethostname(),
        source_skipped=skipped,
    )
    return Collected(record=record, files=files, tags=tags)


def path_in(root: Path, path: Path) -> str:
    """A path relative to the source's root where it lies below, else absolute."""
    absolute = Path(os.path.abspath(path))  # noqa: PTH100 - without `..`, and without following links as `resolve` would
    return absolute.relative_to(root).as_posix() if absolute.is_relative_to(root) else str(absolute)


def environment_lock() -> str:
    """The environment as `name==version` lines, sorted; what no index has, such as an editable install, stands in a comment."""
    lines: dict[str, str] = {}
    for one in distributions():
        name = re.sub(r"[-_.]+", "-", one.metadata["Name"] or "").lower()
        if name:
            lines.setdefault(name, f"{_how(one)}{name}=={one.version}")
    return "".join(f"{lines[name]}\n" for name in sorted(lines))


def seeded(seed: int | None) -> dict[str, int]:
    """Seeds what draws random numbers in this process, where a seed is given; the seeds that are known."""
    found: dict[str, int] = {}
    if os.environ.get("PYTHONHASHSEED", "random").isdigit():
        found["PYTHONHASHSEED"] = int(os.environ["PYTHONHASHSEED"])
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    if seed is not None:
        random.seed(seed)
        found["random"] = seed
        if numpy is not None:
            numpy.random.seed(seed % 2**32)
            found["numpy"] = seed % 2**32
        if torch is not None:
            torch.manual_seed(seed)
    if torch is not None:
        found["torch"] = int(torch.initial_seed())
    return found


def git_state(root: Path) -> GitState | None:
    """What git says of the folder; None where it knows nothing of it."""
    commit = _git(root, "rev-parse", "HEAD")
    if commit is None:
        return None
    status = _git(root, "status", "--porcelain", "-z", "--untracked-files=all", "--", ".") or b""
    lines = [line for line in status.decode("utf-8", "replace").split("\0") if line]
    untracked = tuple(line[3:] for line in lines if line.startswith("??") and not SKIPPED_FOLDERS & set(Path(line[3:]).parts))
    diff = _git(root, "diff", "HEAD", "--no-ext-diff", "--", ".") or b""
    return GitState(
        commit=commit.decode().strip(),
        branch=(_git(root, "branch", "--show-current") or b"").decode().strip(),
        is_dirty=any(not line.startswith("??") for line in lines) or bool(untracked),
        untracked=untracked[:MOST_UNTRACKED],
        diff=diff[:MOST_DIFF_BYTES],
    )


def _git(root: Path, *words: str) -> bytes | None:
    try:
        done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, check=True, timeout=GIT_TIMEOUT_S)  # noqa: S603, S607 - a fixed command, as found on the path
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout


def _archive(root: Path) -> bytes:
    if root in (Path.home(), Path(root.anchor)):
        raise OSError(f"{root} is no project's folder: put the script into one of its own")
    return source_archive(root)


def _how(one: Distribution) -> str:
    """What stands before a line: nothing for what an index has, else a comment that says so. No address: it may hold a password."""
    told = one.read_text("direct_url.json")
    if not told:
        return ""
    try:
        found = msgspec.json.decode(told, type=_DirectUrl)
    except msgspec.MsgspecError:
        return "# from elsewhere: "
    if found.dir_info.get("editable"):
        return "# editable: "
    return "# from a local folder: " if found.url.startswith("file:") else "# from elsewhere: "


class _DirectUrl(msgspec.Struct):
    """How a distribution was installed, by PEP 610."""

    url: str
    dir_info: dict[str, bool] = {}


def _script() -> Path | None:
    """The file that this process was started with; None in a notebook, a console and for code on the command line."""
    if _is_interactive() or not sys.argv or not sys.argv[0]:
        return None
    path = Path(sys.argv[0]).absolute()
    return path if path.is_file() else None


def is_notebook() -> bool:
    """Whether this process is a notebook's kernel."""
    return "ipykernel" in sys.modules


def _is_interactive() -> bool:
    return is_notebook() or hasattr(sys, "ps1")


def _command(root: Path, folder: Path) -> tuple[str, ...] | None:
    if _is_interactive() or not sys.orig_argv:
        return None
    return ("python", *(said(_relative(word, root, folder)) for word in sys.orig_argv[1:]))


def said(text: str) -> str:
    """A text of the operating system's, without what UTF-8 has no place for."""
    return text.encode("utf-8", "replace").decode()


def _relative(word: str, root: Path, folder: Path) -> str:
    """A path of the source as it is called from `folder`, so that it means the same where the source is unpacked; else the word."""
    if word.startswith(f"{root}{os.sep}") or (word == sys.argv[0] and Path(word).is_file() and Path(word).absolute().is_relative_to(root)):
        return os.path.relpath(Path(word).absolute(), folder)
    return word


def encoded(record: RunRecord) -> bytes:
    """The record as JSON, indented."""
    return msgspec.json.format(msgspec.json.encode(record), indent=1)
