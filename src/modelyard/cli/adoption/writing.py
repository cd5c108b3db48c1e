"""Which files an adoption writes, and writing them: into a new project, or beside what a project has. Nothing is overwritten."""

import getpass
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import msgspec
import uv

from modelyard.cli.adoption.estimators import DISTRIBUTIONS, installed
from modelyard.cli.adoption.rows import Learned, NotAdoptable
from modelyard.cli.adoption.texts import MOST_PURPOSE, Words, module_text, test_text
from modelyard.cli.adoption.tracked import NOTE_TAG, Tracked
from modelyard.cli.labels import read_table
from modelyard.cli.origin import origin
from modelyard.cli.starting import LOCK_TIMEOUT_S, LockFailed, ProjectExists, filled, locked
from modelyard.core.settings import FILE
from modelyard.delivery.sources import BadSource, unpack_source
from modelyard.registry.domain import RiskTier

MOST_COPIED_BYTES = 200_000_000
RECORDED = "recorded"
BESIDE = {"scikit-learn": ("scikit-learn", "skops"), "lightgbm": ("lightgbm", "scikit-learn")}
"""By an estimator's distribution, what training and saving it need."""
UNFILLED = ("scikit-learn", "lightgbm", "pandas", "skops", "skl2onnx", "onnx", "xgboost", "torch")
"""Of these, what a run had is kept where its training is still to be filled in."""
MODELS = re.compile(r"^models\s*=\s*\[[^\]]*\]", re.MULTILINE)


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What an adoption is told: the model's name, its risk, and the project's folder."""

    name: str
    risk: RiskTier
    folder: Path


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is written: texts and the table by their paths below `folder`, requirements, and the run's source where it is still needed."""

    folder: Path
    is_new: bool
    module: str
    texts: dict[str, str]
    settings: str | None
    table: str | None
    requirements: tuple[str, ...]
    source: bytes | None


def planned(asked: Asked, run: Tracked, learned: Learned) -> Plan:
    """What adopting the run writes. Raises ProjectExists for a file that is there, and NotAdoptable."""
    folder, is_new = asked.folder, not (asked.folder / FILE).exists()
    module = "models" if is_new else f"models_{asked.name}"
    table = _table(folder, learned.file)
    recorded = RECORDED if run.source is not None else ""
    words = Words(
        name=asked.name,
        run=re.sub(r"[^0-9A-Za-z-]", "", run.run.facts.id),
        owner=_line(run.run.facts.user) or getpass.getuser(),
        purpose=_line(run.run.tags.get(NOTE_TAG, "")) or f"Say here what {learned.label} is predicted for, and who acts on it.",
        risk=asked.risk,
        rows=table or _inside(folder, learned.file),
        params=run.run.params,
        estimator=run.estimator,
        why_not=run.why_not,
        recorded=recorded,
    )
    requirements = _requirements(run)
    texts = {f"{module}.py": module_text(words, learned), f"test_{module}.py": test_text(words, learned, module)}
    if is_new:
        texts |= _project_texts(words, requirements)
    there = [path for path in (*texts, table, recorded, *(["uv.lock"] if is_new else [])) if path and (folder / path).exists()]
    if there:
        raise ProjectExists(f"{folder} holds {there[0]} already", hint="give another --name or --dir; nothing was written")
    return Plan(
        folder=folder,
        is_new=is_new,
        module=module,
        texts=texts,
        settings=None if is_new else _settings(folder / FILE, module),
        table=table,
        requirements=requirements,
        source=run.source,
    )


def write(plan: Plan, learned: Learned) -> tuple[str, ...]:
    """Makes a plan true, the lock last; the files that were written. Raises LockFailed where the project is written and not locked."""
    folder = plan.folder
    if plan.source is not None:
        _unpack(plan.source, folder / RECORDED)
    for path, text in plan.texts.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    if plan.table is not None:
        (folder / plan.table).parent.mkdir(parents=True, exist_ok=True)
        if learned.file.suffix.lower() == ".csv":
            read_table(learned.file).write_parquet(folder / plan.table)
        else:
            shutil.copyfile(learned.file, folder / plan.table)
    if plan.settings is not None:
        (folder / FILE).write_text(plan.settings, encoding="utf-8")
    if plan.is_new:
        locked(folder)
    else:
        _add(folder, plan.requirements)
    changed = [FILE, *(["pyproject.toml"] if (folder / "pyproject.toml").exists() else [])] if not plan.is_new else ["uv.lock"]
    return tuple(sorted({*plan.texts, *([plan.table] if plan.table else []), *([f"{RECORDED}/"] if plan.source else []), *changed}))


def _unpack(source: bytes, folder: Path) -> None:
    """Unpacks a run's source, all of it or none. Raises BadSource."""
    try:
        unpack_source(source, folder)
    except BadSource:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _table(folder: Path, file: Path) -> str | None:
    """Where the rows are copied to; None where they lie in the project already, or are too many and are read where they are."""
    is_parquet = file.suffix.lower() in (".parquet", ".pq")
    if is_parquet and (file.resolve().is_relative_to(folder.resolve()) or file.stat().st_size > MOST_COPIED_BYTES):
        return None
    stem = re.sub(r"\W+", "_", file.stem, flags=re.ASCII).strip("_")[:80] or "rows"
    return f"data/{stem}.parquet"


def _inside(folder: Path, file: Path) -> str:
    path = file.resolve()
    return path.relative_to(folder.resolve()).as_posix() if path.is_relative_to(folder.resolve()) else str(path)


def _line(text: str) -> str:
    """A run's text as one line of bounded length."""
    return " ".join(text.split())[:MOST_PURPOSE]


def _requirements(run: Tracked) -> tuple[str, ...]:
    """What the training needs, in the run's versions where it says them, else in those that are here."""
    if run.estimator is None:
        return tuple(f"{name}=={run.versions[name]}" for name in UNFILLED if name in run.versions)
    own = DISTRIBUTIONS[run.estimator.package]
    known = {own: installed(run.estimator.package)} | dict(run.versions)
    return tuple(f"{name}=={known[name]}" if known.get(name) else name for name in BESIDE[own])


def _project_texts(words: Words, requirements: tuple[str, ...]) -> dict[str, str]:
    came_from = origin()
    found = {
        "name": words.name,
        "distribution": words.name.replace("_", "-"),
        "requirement": came_from.requirement,
        "packages": "".join(f', "{one}"' for one in requirements),
        "sources": f"\n[tool.uv.sources]\n{came_from.source}" if came_from.source else "",
        "about": f"Adopted from the run {words.run}; `models.py` says what it predicts.",
    }
    return {path: filled(template, found) for path, template in PROJECT.items()}


PROJECT = {FILE: "modelyard.toml", "pyproject.toml": "pyproject.toml", "README.md": "README.md", ".gitignore": "gitignore"}


def _settings(path: Path, module: str) -> str:
    """The project's settings with one module more. Raises NotAdoptable where their list of modules cannot be extended in place."""
    text = path.read_text("utf-8")
    try:
        before = list(tomllib.loads(text).get("project", {}).get("models", ["models"]))
        names = ", ".join(f'"{one}"' for one in (*before, module))
        line = f"models = [{names}]"
        given = MODELS.sub(lambda _: line, text, count=1) if MODELS.search(text) else f"{text.rstrip()}\n\n[project]\n{line}\n"
        if tomllib.loads(given)["project"]["models"] == [*before, module]:
            return given
    except (tomllib.TOMLDecodeError, KeyError, TypeError, AttributeError):
        pass
    raise NotAdoptable(f"{path} lists its modules in a way that is not extended here", hint="adopt into a folder of its own: --dir DIR")


def _add(folder: Path, requirements: tuple[str, ...]) -> None:
    """Adds what a project lacks to its dependencies and its lock. Raises LockFailed with what uv said."""
    project = folder / "pyproject.toml"
    if not project.exists():
        return
    named = tomllib.loads(project.read_text("utf-8")).get("project", {}).get("dependencies", [])
    known = {re.split(r"[^A-Za-z0-9._-]", one, maxsplit=1)[0].lower().replace("_", "-") for one in named}
    wanted = [one for one in requirements if one.partition("==")[0] not in known]
    if not wanted:
        return
    command = [uv.find_uv_bin(), "add", "--quiet", "--no-sync", *wanted]
    try:
        subprocess.run(command, cwd=folder, capture_output=True, check=True, timeout=LOCK_TIMEOUT_S)  # noqa: S603 - names and versions that were checked
    except subprocess.CalledProcessError as error:
        told = error.stderr.decode(errors="replace").strip()[-800:]
        raise LockFailed(f"the model is written, but uv add failed: {told}", hint=f"cd {folder} && uv add {' '.join(wanted)}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LockFailed("the model is written, but uv add did not end", hint=f"cd {folder} && uv add {' '.join(wanted)}") from error
