"""Writes docs/errors.md from the source: each code with its kind, statuses and next step. `--check` says whether it is current."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from modelyard.core.errors import EXIT_CODE, HTTP_STATUS, Kind

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src/modelyard"
TARGET = ROOT / "docs/errors.md"
BASE = "ModelyardError"
MOST_HINTS = 2
OTHERS_CODES = {"RemoteError", "MlflowError"}
"""Errors that carry a code from outside, a server's or MLflow's, and have none of their own."""

STATUS, EXIT = {"MethodNotAllowed": 405, "BodyIsSlow": 408}, {"WrongUsage": 2}
"""What differs from the kind's: the method is the gateway's matter, a slow body the server's door's, the usage the command line's."""

MEANT: dict[Kind, str] = {
    Kind.INVALID: "Mend the request as the hint says; the same again fails again.",
    Kind.UNAUTHENTICATED: "Log in with `yard login`, or send a token.",
    Kind.FORBIDDEN: "Ask an admin for the role that the message names.",
    Kind.MISSING: "Look at the name: the hint gives near ones, and what other teams own is not shown.",
    Kind.CONFLICT: "Read the present state and decide again: it does not allow the change.",
    Kind.REFUSED: "Read what was found: a gate, a check or a person refused, and a new version is the way on.",
    Kind.TOO_LARGE: "Send less at once.",
    Kind.THROTTLED: "Wait for as long as `Retry-After` says.",
    Kind.OVERLOADED: "Try again after as long as `Retry-After` says.",
    Kind.UNREACHABLE: "See whether the server runs, with `yard doctor`, and try again.",
    Kind.INTERNAL: "Look into the server's log for the request's id; records that do not fit are for `yard doctor`.",
}
HEAD = """# Errors

Every error has a code, a message that says what was got and expected, and a hint that names the next step. Over HTTP it is
`{"error": {"code", "message", "hint"}}` under the status of its kind (`/v2`, `/invocations` and MLflow's paths have their own shapes);
`yard` prints message and hint, with `--json` the same object, and ends with the kind's exit code. Programs go by the code. This paper is
written by `python tools/errors.py`.

## Kinds

| kind | HTTP status | exit code | what to do |
| --- | --- | --- | --- |
"""
CODES = """
## Codes

What to do is what the error hints at, `…` standing for names of the case. Where nothing stands, the hint differs from place to place and
the kind's line holds. Commands and clients pass on a server's codes; MLflow's clients get MLflow's.

| code | kind | HTTP status | exit code | means | what to do |
| --- | --- | --- | --- | --- | --- |
"""


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """An error's class as it stands in the source: the kind is None where it is its base's."""

    base: str
    kind: Kind | None
    meaning: str


def trees(root: Path) -> Iterator[ast.Module]:
    """The source's modules, parsed, in the order of their paths."""
    for path in sorted((root / "src/modelyard").rglob("*.py")):
        yield ast.parse(path.read_text("utf-8"))


def code_of(name: str) -> str:
    """A class's code, as `ModelyardError.code` makes it.

    >>> code_of("RunIsFinished")
    'run_is_finished'
    """
    return re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower()


def classes(modules: list[ast.Module]) -> dict[str, Found]:
    """The errors below the base, by name."""
    named = [node for tree in modules for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    found: dict[str, Found] = {}
    known, before = {BASE}, 0
    while len(known) > before:
        before = len(known)
        for node in named:
            base = next((one.id for one in node.bases if isinstance(one, ast.Name) and one.id in known), "")
            if base and node.name not in known:
                known.add(node.name)
                meaning = (ast.get_docstring(node) or "").partition("\n")[0]
                found[node.name] = Found(base=base, kind=_kind(node), meaning=meaning)
    return found


def _kind(node: ast.ClassDef) -> Kind | None:
    for line in node.body:
        value = line.value if isinstance(line, ast.Assign | ast.AnnAssign) else None
        if isinstance(value, ast.Attribute) and isinstance(value.value, ast.Name) and value.value.id == "Kind":
            return Kind[value.attr]
    return None


def kind_of(name: str, found: dict[str, Found]) -> Kind:
    """The kind of an error, its own or its base's."""
    while name in found:
        kind = found[name].kind
        if kind is not None:
            return kind
        name = found[name].base
    return Kind.INVALID


def hints(modules: list[ast.Module], names: set[str]) -> dict[str, str]:
    """The hints that are given where an error is made, for errors that have at most two and none without."""
    found: dict[str, set[str]] = {}
    for tree in modules:
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names:
                given = [_text(word.value) for word in node.keywords if word.arg == "hint"]
                found.setdefault(node.func.id, set()).update(given or [""])
    return {name: "; or: ".join(sorted(texts)) for name, texts in found.items() if len(texts) <= MOST_HINTS and "" not in texts}


def _text(value: ast.expr) -> str:
    """A literal's words, `…` in the place of each value; empty where nothing but values is in it."""
    if isinstance(value, ast.Constant):
        return str(value.value)
    if not isinstance(value, ast.JoinedStr):
        return ""
    parts = [str(part.value) if isinstance(part, ast.Constant) else "…" for part in value.values]
    return "".join(parts) if any(part.strip("… ") for part in parts) else ""


def generated(root: Path = ROOT) -> str:
    """The text of the paper."""
    modules = list(trees(root))
    found = classes(modules)
    hinted = hints(modules, set(found))
    lines = [HEAD, *(f"| {kind} | {HTTP_STATUS[kind]} | {EXIT_CODE[kind]} | {MEANT[kind]} |\n" for kind in Kind), CODES]
    for name in sorted(found.keys() - OTHERS_CODES, key=code_of):
        kind = kind_of(name, found)
        cells = (
            kind,
            STATUS.get(name, HTTP_STATUS[kind]),
            EXIT.get(name, EXIT_CODE[kind]),
            _cell(found[name].meaning),
            _cell(hinted.get(name, "")),
        )
        lines.append(f"| `{code_of(name)}` | {' | '.join(str(cell) for cell in cells)} |\n")
    return "".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").strip()


def main() -> int:
    """Writes the paper, or says whether it is current."""
    text = generated()
    if "--check" in sys.argv:
        current = TARGET.exists() and TARGET.read_text("utf-8") == text
        print("docs/errors.md: current" if current else "docs/errors.md: differs from the errors in the source; run python tools/errors.py")
        return 0 if current else 1
    TARGET.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
