"""What differs between runs: rows of texts side by side, which metric value is best, packages, datasets, files. Owns no lookup."""

import difflib
import itertools
import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec

from modelyard.tracking.domain import DATASET_CONTEXT_TAG, DatasetInput

Direction = Literal["low", "high", ""]
"""Whether low or high values of a metric are better; empty where its name does not say."""

MOST_FACTS = 400
MOST_DIFF_LINES = 2000
MOST_LINES_OF_A_FILE = 4000
LONGEST_FACT = 400
LONGEST_FACTS = 1_000_000
"""Characters of a schema or profile beyond which it is not read: clients may log sixteen million."""
DEEPEST_PROFILE = 8
MOST_LINES_COMPARED = 20_000
"""Lines of all files together after which files are named and no longer compared line by line."""
LONGEST_NUMBER = 18
LEFT_OUT = "left out: the diff is long"
_LOWER = frozenset(
    {"loss", "error", "err", "rmse", "mse", "mae", "mape", "rmsle", "logloss", "perplexity", "brier", "latency", "seconds", "regret"}
)
_HIGHER = frozenset(
    {"auc", "acc", "accuracy", "f1", "precision", "recall", "r2", "score", "map", "ndcg", "bleu", "rouge", "iou", "dice", "gini"}
)
_PACKAGE = re.compile(r"\s*([A-Za-z0-9][\w.-]*)(?:\[[^\]]*\])?\s*==\s*([^\s;#\\]+)")


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """What several runs have under one key, in their order; `None` where one has nothing. `best` are the places of the best value."""

    key: str
    values: tuple[str | None, ...]
    is_same: bool
    best: tuple[int, ...] = ()


class Hunk(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a diff: added, removed, kept, or the head of a part."""

    kind: Literal["added", "removed", "kept", "head"]
    text: str


class FileChange(msgspec.Struct, frozen=True, kw_only=True):
    """A file that two sources do not have alike: its lines where it is a text, else what can be said of it."""

    path: str
    kind: Literal["added", "removed", "changed"]
    lines: tuple[Hunk, ...] = ()
    note: str = ""


def side_by_side(sides: Sequence[Mapping[str, str]]) -> tuple[Row, ...]:
    """A row for each key that a side has, by key; a key that one side lacks differs."""
    keys = sorted({key for side in sides for key in side}, key=_natural)
    rows = []
    for key in keys:
        values = tuple(side.get(key) for side in sides)
        rows.append(Row(key=key, values=values, is_same=len(set(values)) == 1))
    return tuple(rows)


def _natural(text: str) -> list[tuple[int, int, str]]:
    parts = re.split(r"(\d+)", text)
    # Python reads no number of thousands of digits, and anybody may name a column so.
    return [(0, int(part), "") if part.isdecimal() and len(part) <= LONGEST_NUMBER else (1, 0, part) for part in parts]


def direction_of(metric: str) -> Direction:
    """Whether low or high is better, by the words in a metric's name.

    >>> direction_of("val_loss"), direction_of("test/roc_auc"), direction_of("gradient norm")
    ('low', 'high', '')
    """
    words = re.split(r"[^a-z0-9]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", metric).lower())
    if _LOWER & set(words):
        return "low"
    return "high" if _HIGHER & set(words) else ""


def best_of(values: Sequence[float | None], direction: Direction) -> tuple[int, ...]:
    """The places of the best of at least two values; none where the direction is not known or all are equal."""
    known = [value for value in values if value is not None and value == value]
    if not direction or len(set(known)) < 2:
        return ()
    best = min(known) if direction == "low" else max(known)
    return tuple(place for place, value in enumerate(values) if value == best)


def packages_of(text: str) -> dict[str, str]:
    """Packages and their versions off lines such as `name==version`; other lines are passed over.

    >>> packages_of("NumPy==2.1.0 # pinned\\n-e .\\n")
    {'numpy': '2.1.0'}
    """
    found = (match for line in text.splitlines() if (match := _PACKAGE.match(line)))
    return {match[1].lower().replace("_", "-"): match[2] for match in found}


def locked_packages(text: str) -> dict[str, str]:
    """Packages and their versions off a `uv.lock`; none where it is not one."""
    try:
        listed = tomllib.loads(text).get("package", [])
    except (tomllib.TOMLDecodeError, RecursionError):
        return {}
    rows = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    return {str(one["name"]): str(one["version"]) for one in rows if "name" in one and "version" in one}


def dataset_facts(inputs: Iterable[DatasetInput]) -> dict[str, str]:
    """What is known of the datasets that a run read, by dataset and fact: digest, rows, columns with types, profile."""
    facts: dict[str, str] = {}
    for one in inputs:
        context = one.tags.get(DATASET_CONTEXT_TAG, "")
        head = f"{one.dataset.name} ({context})" if context else one.dataset.name
        said = {"digest": one.dataset.digest, **_columns(_decoded(one.dataset.schema)), **_profile(_decoded(one.dataset.profile))}
        for name, value in said.items():
            if len(facts) >= MOST_FACTS:
                return facts
            facts[f"{head} · {name}"[:LONGEST_FACT]] = value[:LONGEST_FACT]
    return facts


def _decoded(text: str | None) -> Any:
    try:
        return json.loads(text) if text and len(text) <= LONGEST_FACTS else None
    except (ValueError, RecursionError):
        return None


def _columns(schema: Any) -> dict[str, str]:
    """The columns that a schema names, as the clients write it: MLflow's list of columns, a list of named types, or types by name."""
    if isinstance(schema, dict):
        schema = next((schema[key] for key in ("mlflow_colspec", "columns", "fields") if key in schema), schema)
    if isinstance(schema, dict):
        return {f"column {name}": str(kind) for name, kind in schema.items() if isinstance(kind, str)}
    rows = [one for one in schema if isinstance(one, dict) and "name" in one] if isinstance(schema, list) else []
    return {f"column {one['name']}": str(one.get("type", one.get("dtype", ""))) for one in rows}


def _profile(profile: Any, head: str = "") -> dict[str, str]:
    if not isinstance(profile, dict) or head.count(".") >= DEEPEST_PROFILE:
        return {}
    found: dict[str, str] = {}
    for key, value in profile.items():
        name = f"{head}{key}"
        if isinstance(value, dict):
            found |= _profile(value, f"{name}.")
        elif isinstance(value, str | int | float | bool):
            found["rows" if name in ("num_rows", "rows") else name] = str(value)
    return found


def file_changes(base: Mapping[str, bytes], other: Mapping[str, bytes]) -> tuple[FileChange, ...]:
    """What it takes to come from one source to the other, file by file, by path; line by line as far as there are not too many."""
    changes, lines = [], 0
    for path in sorted({*base, *other}):
        sides = base.get(path), other.get(path)
        if sides[0] != sides[1]:
            lines += sum(side.count(b"\n") + 1 for side in sides if side is not None)
            changes.append(_change(path, *sides, is_read=lines <= MOST_LINES_COMPARED))
    return tuple(changes)


def _change(path: str, before: bytes | None, after: bytes | None, *, is_read: bool) -> FileChange:
    kind: Literal["added", "removed", "changed"] = "added" if before is None else "removed" if after is None else "changed"
    if not is_read:
        return FileChange(path=path, kind=kind, note=LEFT_OUT)
    old, new = _lines(before), _lines(after)
    if old is None or new is None:
        return FileChange(path=path, kind=kind, note=f"no text: {len(before or b''):,} bytes, then {len(after or b''):,}")
    if max(len(old), len(new)) > MOST_LINES_OF_A_FILE:
        return FileChange(path=path, kind=kind, note=f"too long to be shown: {len(old):,} lines, then {len(new):,}")
    lines = list(_hunks(old, new))
    note = "" if len(lines) <= MOST_DIFF_LINES else f"the first {MOST_DIFF_LINES:,} of {len(lines):,} lines"
    return FileChange(path=path, kind=kind, lines=tuple(lines[:MOST_DIFF_LINES]), note=note)


def _lines(content: bytes | None) -> list[str] | None:
    """The lines of a text; None where it is none."""
    if content is None:
        return []
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text.splitlines()


def _hunks(old: Sequence[str], new: Sequence[str]) -> Iterator[Hunk]:
    for line in itertools.islice(difflib.unified_diff(old, new, lineterm="", n=3), 2, None):
        mark, text = line[:1], line[1:]
        if mark == "@":
            yield Hunk(kind="head", text=line)
        else:
            yield Hunk(kind="added" if mark == "+" else "removed" if mark == "-" else "kept", text=text)
