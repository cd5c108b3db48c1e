"""Checks the size budgets: files, functions, tests, public methods, imports inside functions. Prints what is over."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FILE_LINES, FUNCTION_LINES, TEST_LINES, METHODS, INNER_IMPORTS = 400, 50, 40, 15, 10
GENERATED = {"src/modelyard/sdk/_client.py"}
MIGRATIONS = "src/modelyard/storage/migrations/versions/"
Function = (ast.FunctionDef, ast.AsyncFunctionDef)


def lines_of(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """The lines of a function without its docstring, which may be as long as it needs."""
    total = (node.end_lineno or node.lineno) - node.lineno + 1
    first = node.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        total -= (first.end_lineno or first.lineno) - first.lineno + 1
    return total


def over_budget(path: Path, tree: ast.Module, lines: int) -> Iterator[str]:
    """What in one file is over its budget."""
    name = path.relative_to(ROOT).as_posix()
    is_test = name.startswith(("tests/", "bench/"))
    if name.startswith(MIGRATIONS):
        return
    if lines > FILE_LINES:
        yield f"{name}: {lines} lines, at most {FILE_LINES}"
    for node in ast.walk(tree):
        if isinstance(node, Function):
            most = TEST_LINES if is_test else FUNCTION_LINES
            if lines_of(node) > most:
                yield f"{name}:{node.lineno} {node.name}: {lines_of(node)} lines, at most {most}"
        if isinstance(node, ast.ClassDef):
            public = [one for one in node.body if isinstance(one, Function) and not one.name.startswith("_")]
            if len(public) > METHODS:
                yield f"{name}:{node.lineno} {node.name}: {len(public)} public methods, at most {METHODS}"


def inner_imports(path: Path, tree: ast.Module) -> Iterator[str]:
    """Imports inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, Function):
            for inner in ast.walk(node):
                if isinstance(inner, ast.Import | ast.ImportFrom):
                    yield f"{path.relative_to(ROOT)}:{inner.lineno}"


def main() -> int:
    """Prints what is over budget; 1 if anything is."""
    found: list[str] = []
    imports: list[str] = []
    for folder in ("src", "tests", "demo", "bench", "soak", "tools"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if path.relative_to(ROOT).as_posix() in GENERATED or any(part.startswith(".") for part in path.relative_to(ROOT).parts):
                continue
            text = path.read_text("utf-8")
            tree = ast.parse(text)
            found += over_budget(path, tree, text.count("\n"))
            imports += inner_imports(path, tree) if folder == "src" else ()
    if len(imports) > INNER_IMPORTS:
        found.append(f"{len(imports)} imports inside functions, at most {INNER_IMPORTS}: {', '.join(imports)}")
    print("\n".join(found) or "budgets: all kept")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
