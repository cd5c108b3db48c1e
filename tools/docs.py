"""Checks the papers against the code: packages, settings, commands, errors, ledger entries, dependencies, links. Prints what is off."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from modelyard.cli.table import COMMANDS
from modelyard.core.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
ARCHITECTURE_LINES = 250
COMPONENTS = ("access", "delivery", "features", "fleet", "governance", "ledger", "monitoring", "registry", "serving", "tracking", "tuning")
ENTRY = re.compile(rf"({'|'.join(COMPONENTS)})\.[a-z]+(_[a-z]+)*")
ENTRY_HEAD = re.compile(rf"({'|'.join(COMPONENTS)})\.[a-z_]+_")
LINK = re.compile(r"\[[^\]\n]+\]\(([^)\s]+)\)")
# A command's words in a text; `.yard` is the data folder.
SAID = re.compile(r"(?<![\w.])yard ([a-z]+)(?: ([a-z]+))?")
CODE = re.compile(r"`([^`\n]+)`")
ROW = re.compile(r"^\| `([^`]+)` \|(.*)\|$", re.MULTILINE)
# Paths of one machine, and papers that are not in the repository, say nothing to a reader.
STRAY = re.compile(r"(?<![\w.])/(?:work|root)/\w|\b(?:DECISIONS|CONTRACT|PEERS|STYLE|DESIGN)\.md\b|\b(?:Claude|Anthropic)\b")
TEXTS = {".py", ".md", ".toml", ".html", ".js", ".css", ".sh", ".yaml", ".yml", ""}
PLACES = ("src", "tests", "tools", "docs", "demo", "bench", "soak", "stubs", ".ci")
OWN = ("tools/docs.py", "tests/docs/")
Check = Callable[[Path], Iterator[str]]


def table(text: str) -> dict[str, list[str]]:
    """The rows of Markdown tables whose first cell is code, by that cell; their other cells, stripped."""
    return {found[1]: [cell.strip() for cell in found[2].split(" | ")] for found in ROW.finditer(text)}


def read(root: Path, name: str) -> str:
    """The text of a paper; empty where it is missing, so that every check says what it misses."""
    path = root / name
    return path.read_text("utf-8") if path.exists() else ""


def check_architecture(root: Path) -> Iterator[str]:
    """Packages that ARCHITECTURE.md does not name, and a paper that has grown too long."""
    text = read(root, "ARCHITECTURE.md")
    for folder in sorted((root / "src/modelyard").iterdir()):
        if (folder / "__init__.py").exists() and f"`{folder.name}`" not in text:
            yield f"ARCHITECTURE.md: the package `{folder.name}` is not in it"
    lines = len(text.splitlines())
    if lines > ARCHITECTURE_LINES:
        yield f"ARCHITECTURE.md: {lines} lines, at most {ARCHITECTURE_LINES}"


def settings_of(kind: type[msgspec.Struct], where: str = "") -> Iterator[tuple[str, list[str]]]:
    """Each setting's full key, with its type and default as docs/settings.md writes them."""
    for field in msgspec.structs.fields(kind):
        inner = field.type
        if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
            yield from settings_of(inner, f"{where}{field.name}.")
            continue
        default = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
        name = inner.__name__ if type(inner) is type else str(inner)
        value = default if isinstance(default, str | dict) else list(default) if isinstance(default, tuple) else default
        yield f"{where}{field.name}", [name, f"`{msgspec.json.encode(value).decode()}`"]


def check_settings(root: Path) -> Iterator[str]:
    """Differences between docs/settings.md and the settings."""
    rows, known = table(read(root, "docs/settings.md")), dict(settings_of(Settings))
    for key, cells in known.items():
        if key not in rows:
            yield f"docs/settings.md: `{key}` is missing"
        elif rows[key][:2] != cells:
            yield f"docs/settings.md: `{key}` is {' '.join(cells)}, not {' '.join(rows[key][:2])}"
        elif not rows[key][-1]:
            yield f"docs/settings.md: `{key}` has no meaning"
    yield from (f"docs/settings.md: there is no setting `{key}`" for key in rows if key not in known)


def check_commands(root: Path) -> Iterator[str]:
    """Differences between docs/commands.md and the table of commands."""
    rows, known = table(read(root, "docs/commands.md")), {f"yard {command.name}": command.about for command in COMMANDS}
    for name, about in known.items():
        if name not in rows:
            yield f"docs/commands.md: `{name}` is missing"
        elif rows[name][0] != about:
            yield f"docs/commands.md: `{name}` says {rows[name][0]!r}, the command {about!r}"
    yield from (f"docs/commands.md: there is no command `{name}`" for name in rows if name not in known)


def said_commands(text: str) -> Iterator[str]:
    """What follows `yard` in a text and is neither a command nor the name that several share."""
    names = {command.name for command in COMMANDS}
    for found in SAID.finditer(text):
        first, both = found[1], f"{found[1]} {found[2]}"
        is_group = any(name.startswith(f"{first} ") for name in names)
        if first not in names and both not in names and not (is_group and found[2] is None):
            yield (both if is_group else first)


def check_hints(root: Path) -> Iterator[str]:
    """Commands that a hint or a paper names and that do not exist."""
    for path in sorted((root / "src/modelyard").rglob("*.py")):
        hints = [
            node.value for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.keyword) and node.arg == "hint"
        ]
        for part in (one for hint in hints for one in ast.walk(hint)):
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                for name in said_commands(part.value):
                    yield f"{path.relative_to(root)}:{part.lineno}: the hint names yard {name}, which is no command"
    for path in papers(root):
        for code in CODE.findall(path.read_text("utf-8")):
            for name in said_commands(code):
                yield f"{path.relative_to(root)}: `yard {name}` is no command"


def strings(node: ast.expr) -> Iterator[str]:
    """Every text that an expression may stand for: a literal, or both sides of a choice."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from strings(node.body)
        yield from strings(node.orelse)


def heads_of(tree: ast.Module) -> Iterator[tuple[str, int, str]]:
    """Functions that make a type of a head and one parameter: name, the parameter's place, the head."""
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef):
            continue
        places = [argument.arg for argument in function.args.args]
        for node in ast.walk(function):
            if not isinstance(node, ast.JoinedStr) or len(node.values) != 2:
                continue
            head, tail = node.values
            if (
                isinstance(head, ast.Constant)
                and ENTRY_HEAD.fullmatch(str(head.value))
                and isinstance(tail, ast.FormattedValue)
                and isinstance(tail.value, ast.Name)
                and tail.value.id in places
            ):
                yield function.name, places.index(tail.value.id), str(head.value)


def entry_types(root: Path) -> set[str]:
    """The types of ledger entries that stand in the source."""
    settings = {key for key, _ in settings_of(Settings)}
    found: set[str] = set()
    for path in sorted((root / "src/modelyard").rglob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        heads = {name: (place, head) for name, place, head in heads_of(tree)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and ENTRY.fullmatch(node.value):
                found.add(node.value)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in heads:
                place, head = heads[node.func.id]
                found.update(head + word for word in strings(node.args[place]))
    return {one for one in found - settings if not ENTRY_HEAD.fullmatch(one)}


def check_ledger(root: Path) -> Iterator[str]:
    """Differences between docs/ledger.md and the entry types in the source."""
    rows, known = table(read(root, "docs/ledger.md")), entry_types(root)
    yield from (f"docs/ledger.md: the type `{one}` is missing" for one in sorted(known - rows.keys()))
    yield from (f"docs/ledger.md: nothing writes `{one}`" for one in sorted(rows.keys() - known))


def check_dependencies(root: Path) -> Iterator[str]:
    """Dependencies without a line in ADR 0002."""
    project = tomllib.loads(read(root, "pyproject.toml")).get("project", {})
    text = read(root, "docs/adr/0002-dependencies.md")
    wanted = [*project.get("dependencies", []), *(one for extra in project.get("optional-dependencies", {}).values() for one in extra)]
    for requirement in wanted:
        name = re.split(r"[\[<>=!~;\s]", requirement)[0]
        if f"- `{name}`: " not in text:
            yield f"docs/adr/0002-dependencies.md: no line for `{name}`"


def papers(root: Path) -> list[Path]:
    """The Markdown files of the repository."""
    return [*sorted(root.glob("*.md")), *(path for place in PLACES for path in sorted((root / place).rglob("*.md")))]


def check_links(root: Path) -> Iterator[str]:
    """Relative links that lead nowhere."""
    for path in papers(root):
        for target in LINK.findall(path.read_text("utf-8")):
            where = target.partition("#")[0]
            if where and "://" not in target and not target.startswith("mailto:") and not (path.parent / where).exists():
                yield f"{path.relative_to(root)}: the link {target} leads nowhere"


def check_changelog(root: Path) -> Iterator[str]:
    """A changelog without a place for what comes next."""
    if not re.search(r"^## \[?Unreleased\]?$", read(root, "CHANGELOG.md"), re.MULTILINE):
        yield "CHANGELOG.md: there is no section Unreleased"


def check_words(root: Path) -> Iterator[str]:
    """Texts that speak of one machine or of papers that are not here."""
    files = [path for place in PLACES for path in sorted((root / place).rglob("*")) if path.suffix in TEXTS and path.is_file()]
    for path in [*files, *sorted(root.glob("*.md")), root / "Makefile"]:
        name = path.relative_to(root).as_posix()
        if name.startswith(OWN) or "__pycache__" in name or "/.yard/" in name or not path.exists():
            continue
        for number, line in enumerate(path.read_text("utf-8", errors="replace").splitlines(), 1):
            if found := STRAY.search(line):
                yield f"{name}:{number}: {found[0]!r} means nothing to a reader of the repository"


def check_generated(root: Path) -> Iterator[str]:
    """What is generated and no longer current: the client, the migrations, the list of errors."""
    for tool in ("client", "migration", "errors"):
        done = subprocess.run([sys.executable, str(root / f"tools/{tool}.py"), "--check"], capture_output=True, text=True, check=False)
        if done.returncode:
            yield (done.stdout.strip() or done.stderr.strip() or f"tools/{tool}.py --check failed").splitlines()[-1]


CHECKS: tuple[Check, ...] = (
    check_architecture,
    check_settings,
    check_commands,
    check_hints,
    check_ledger,
    check_dependencies,
    check_links,
    check_changelog,
    check_words,
    check_generated,
)


def main() -> int:
    """Prints one line for each thing that is off; 1 if anything is."""
    found = [line for check in CHECKS for line in check(ROOT)]
    print("\n".join(found) if found else "docs: in order")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
