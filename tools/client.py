"""Generates the typed client from the operations: `python tools/client.py` writes it, `--check` compares only."""

import inspect
import sys
import typing
from pathlib import Path
from types import UnionType
from typing import Any

from modelyard.server.surface import INJECTABLE, OPERATIONS
from modelyard.web.operations import BoundOperation, bind

TARGET = Path(__file__).resolve().parent.parent / "src/modelyard/sdk/_client.py"
HEAD = '''"""The typed client, generated from the operations by `tools/client.py`. Do not edit."""

# fmt: off
'''


class Source:
    """Names types in the generated module, and remembers what must be imported for them."""

    def __init__(self) -> None:
        self.imports: set[tuple[str, str]] = set()

    def named(self, kind: Any) -> str:
        """The type as source."""
        if kind is None or kind is type(None):
            return "None"
        if kind is Ellipsis:
            return "..."
        origin, parts = typing.get_origin(kind), typing.get_args(kind)
        if origin in (typing.Union, UnionType):
            return " | ".join(self.named(part) for part in parts)
        if origin is typing.Literal:
            self.imports.add(("typing", "Literal"))
            return f"Literal[{', '.join(map(repr, parts))}]"
        if origin is typing.Annotated:
            return self.named(parts[0])
        if origin is not None:
            name = origin.__name__ if origin.__module__ == "builtins" else self._imported(origin)
            return f"{name}[{', '.join(self.named(part) for part in parts)}]"
        if kind is Any:
            self.imports.add(("typing", "Any"))
            return "Any"
        return kind.__name__ if kind.__module__ == "builtins" else self._imported(kind)

    def _imported(self, kind: Any) -> str:
        self.imports.add((kind.__module__, kind.__name__))
        return str(kind.__name__)


def method(item: BoundOperation, source: Source) -> str:
    """One method of the client."""
    binding, name = item.binding, item.operation.name
    arguments = [f"{one}: {source.named(kind)}" for one, kind in binding.path.items()]
    wire = list(binding.wire.items())
    required = [(one, parameter) for one, parameter in wire if parameter.default is inspect.Parameter.empty]
    optional = [(one, parameter) for one, parameter in wire if parameter.default is not inspect.Parameter.empty]
    arguments += [f"{one}: {source.named(binding.hints[one])}" for one, _ in required]
    if optional:
        arguments.append("*")
    arguments += [f"{one}: {source.named(binding.hints[one])} = {_default(parameter.default, source)}" for one, parameter in optional]
    parts = []
    if binding.path:
        parts.append('"path": {' + ", ".join(f'"{one}": {one}' for one in binding.path) + "}")
    if item.is_whole_body:
        parts.append('"body": body')
    elif wire:
        place = "body" if item.body is not None else "query"
        parts.append(f'"{place}": {{' + ", ".join(f'"{one}": {one}' for one, _ in wire) + "}")
    elif item.operation.method in ("POST", "PUT", "PATCH"):
        parts.append('"body": {}')
    result = source.named(binding.result)
    summary = inspect.cleandoc(item.operation.function.__doc__ or name).partition("\n")[0].replace('"""', "'''")
    call = f'self.call("{item.operation.method}", "{item.operation.path}", {{{", ".join(parts)}}}, {result})'
    back = "" if result == "None" else f"answer: {result} = "
    last = "" if result == "None" else "        return answer\n"
    signature = ", ".join(["self", *arguments])
    return f'    def {name}({signature}) -> {result}:\n        """{summary}"""\n        {back}{call}\n{last}'


def _default(value: Any, source: Source) -> str:
    if hasattr(value, "value") and hasattr(type(value), "__members__"):
        return f"{source.named(type(value))}.{value.name}"
    return repr(value)


def generated() -> str:
    """The client's module."""
    source = Source()
    bound = [bind(item, INJECTABLE) for item in OPERATIONS]
    names = [item.operation.name for item in bound]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SystemExit(f"two operations are called {twice}: give one another name")
    methods = [method(item, source) for item in sorted(bound, key=lambda item: item.operation.name)]
    lines = [HEAD]
    homes = sorted({home for home, _ in source.imports} | {"modelyard.sdk.transport"})
    for home in homes:
        words = sorted(
            {word for where, word in source.imports if where == home} | ({"Transport"} if home == "modelyard.sdk.transport" else set())
        )
        lines.append(f"from {home} import {', '.join(words)}\n")
    lines.append('\n\nclass Client(Transport):\n    """Every operation of the control plane as a method."""\n\n')
    return "".join(lines) + "\n".join(methods)


def main() -> int:
    """Writes the client, or says whether it is current."""
    text = generated()
    if "--check" in sys.argv:
        current = TARGET.read_text("utf-8") == text
        print("client: current" if current else "client: differs from the operations; run python tools/client.py")
        return 0 if current else 1
    TARGET.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
