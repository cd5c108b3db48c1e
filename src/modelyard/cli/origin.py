"""Where this Modelyard came from, so that another project can name it: a release, a git commit, or a folder on this machine.

Owns reading that from the installed distribution; writes nothing.
"""

import subprocess
from importlib.metadata import distribution
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec

import modelyard


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """How a project names Modelyard: its requirement, the line below `[tool.uv.sources]` if it needs one, and how CI installs it.

    An empty `package` says that CI cannot get it without being told from where.
    """

    requirement: str
    source: str = ""
    package: str = ""


def origin() -> Origin:
    """The origin of the Modelyard that runs: what an installer noted in `direct_url.json` (PEP 610), else the package index."""
    noted = distribution("modelyard").read_text("direct_url.json")
    return origin_of(msgspec.json.decode(noted) if noted else {}, modelyard.__version__)


def origin_of(noted: dict[str, Any], version: str) -> Origin:
    """The origin that `direct_url.json` notes.

    >>> origin_of({}, "0.1.0").requirement
    'modelyard>=0.1.0'
    >>> origin_of({"url": "https://x/y.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}}, "0.1.0").source
    'modelyard = { git = "https://x/y.git", rev = "abc" }'
    """
    url, vcs = str(noted.get("url", "")), noted.get("vcs_info")
    if not url:
        return Origin(requirement=f"modelyard>={version}", package=f"modelyard=={version}")
    if vcs:
        commit = vcs["commit_id"]
        source = f'modelyard = {{ git = "{url}", rev = "{commit}" }}'
        return Origin(requirement="modelyard", source=source, package=f"modelyard @ git+{url}@{commit}")
    if not url.startswith("file:"):
        return Origin(requirement="modelyard", source=f'modelyard = {{ url = "{url}" }}', package=f"modelyard @ {url}")
    folder = Path(unquote(urlsplit(url).path))
    editable = ", editable = true" if folder.is_dir() else ""
    source = f"modelyard = {{ path = {msgspec.json.encode(str(folder)).decode()}{editable} }}"
    return Origin(requirement="modelyard", source=source, package=_fetched_from(folder))


def _fetched_from(folder: Path) -> str:
    """How others get what a clone holds, where the clone was fetched from an address and its commit is known there; else empty."""
    address, commit = _git(folder, "remote", "get-url", "origin"), _git(folder, "rev-parse", "HEAD")
    is_known = bool(_git(folder, "branch", "--remotes", "--contains", "HEAD"))
    return f"modelyard @ git+{address}@{commit}" if address.startswith("https://") and commit and is_known else ""


def _git(folder: Path, *words: str) -> str:
    try:
        found = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, check=True, timeout=20)  # noqa: S603, S607 - fixed words
    except (OSError, subprocess.SubprocessError):
        return ""
    return found.stdout.decode().strip()
