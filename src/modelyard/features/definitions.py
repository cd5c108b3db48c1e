"""A view's declaration as text, the line that reuses it, and what one version changed of another. Owns these texts; reads nothing."""

import keyword
import re
from collections.abc import Iterable

import msgspec

from modelyard.features.domain import Csv, Delta, FeatureView, Push, Source, Sql
from modelyard.web.parts import Change

SHORT = 30
LINE = 72
PROJECT = "models"
"""The module of a project that declares its views."""


class Reuse(msgspec.Struct, frozen=True, kw_only=True):
    """How a model of the project that declares the view reads it: the import, and what stands among its features."""

    imported: str
    expression: str

    @property
    def short(self) -> str:
        """The expression where it is short; else its end, which tells features apart."""
        _, bracket, feature = self.expression.partition("[")
        return self.expression if len(self.expression) <= SHORT or not bracket else f"…[{feature}"

    @property
    def text(self) -> str:
        """Both, to be pasted."""
        return f"{self.imported}\n\nfeatures=[{self.expression}]"


def reuse_of(view: FeatureView, feature: str | None = None) -> Reuse:
    """The lines that read the whole view, or one feature of it.

    >>> from modelyard.features.domain import Entity, Parquet
    >>> weather = FeatureView("weather", Entity("origin"), Parquet("w.parquet", "at"), features=["wind"])
    >>> reuse_of(weather, "wind").text
    'from models import weather\\n\\nfeatures=[weather["wind"]]'
    """
    name = variable_of(view)
    return Reuse(imported=f"from {PROJECT} import {name}", expression=name if feature is None else f"{name}[{_quoted(feature)}]")


def reuse_of_function(name: str) -> Reuse:
    """The lines that take an on-demand feature into a model, after the features that it reads."""
    return Reuse(imported=f"from {PROJECT} import {name}", expression=f"..., {name}")


def variable_of(view: FeatureView) -> str:
    """The view's name as a name in Python."""
    name = re.sub(r"\W", "_", view.name)
    return f"{name}_" if keyword.iskeyword(name) else name


def declaration_of(view: FeatureView) -> str:
    """The declaration of `view` with what it imports: a file that declares it again, types to be read from its source."""
    text = definition_of(view)
    used = {"Entity", "FeatureView", type(view.source).__name__}
    used |= {name for name in ("Aggregate", "Window") if f"{name}(" in text}
    return f"from modelyard import {', '.join(sorted(used))}\n\n{variable_of(view)} = {text}"


def changes_between(before: FeatureView, after: FeatureView) -> tuple[Change, ...]:
    """What differs between two versions, part by part: entity, source, each feature, what a feature is made of, lifetimes."""
    old, new = _parts(before), _parts(after)
    return tuple(Change(name, old.get(name), new.get(name)) for name in dict.fromkeys((*old, *new)) if old.get(name) != new.get(name))


def _parts(view: FeatureView) -> dict[str, str]:
    keys = ", ".join(f"{key.name} {key.dtype}" for key in view.entity.keys)
    parts = {"entity": f"{view.entity.name} ({keys})", "source": source_definition(view.source)}
    parts |= {one.name: str(one.dtype) for one in view.features}
    for output in view.outputs:
        item = next(one for one in view.aggregate if one.name == output.column)
        parts[output.name] = f"{output.function} of {item.column}{f' where {item.where}' if item.where else ''} over {output.window.length}"
    return parts | ({"ttl": view.ttl} if view.ttl else {})


def definition_of(view: FeatureView) -> str:
    """The declaration of `view` as it would be written, long lines broken."""
    keys, personal = view.entity.keys, ["personal=True"] if view.entity.personal else []
    if len(keys) == 1 and keys[0].name == view.entity.name:
        entity = _call("Entity", [_quoted(view.entity.name), f"dtype={_quoted(keys[0].dtype)}", *personal])
    else:
        entity = _call("Entity", [_quoted(view.entity.name), f"keys={_mapping((key.name, key.dtype) for key in keys)}", *personal])
    lines = [_quoted(view.name), entity, source_definition(view.source)]
    if view.is_aggregation:
        windows = [f"Window({_quoted(window.length)})" for window in view.windows]
        lines += [f"aggregate={_aggregates(view)}", f"windows={_row('[', windows, ']')}"]
    else:
        lines.append(f"features={_row('[', [_quoted(one.name) for one in view.features], ']')}")
    lines += [f"{name}={_quoted(text)}" for name in ("ttl", "freshness", "every", "owner", "description") if (text := getattr(view, name))]
    if view.tags:
        lines.append(f"tags={_mapping(view.tags)}")
    if view.personal:
        lines.append(f"personal={_row('[', map(_quoted, view.personal), ']')}")
    return "FeatureView(\n" + "".join(f"    {line},\n" for line in lines) + ")"


def _aggregates(view: FeatureView) -> str:
    functions = {item.name: f"[{', '.join(map(_quoted, item.functions))}]" for item in view.aggregate}
    if all(not item.where and item.name == item.column for item in view.aggregate):
        return _row("{", [f"{_quoted(name)}: {listed}" for name, listed in functions.items()], "}")
    made = []
    for item in view.aggregate:
        where = f", where={_quoted(item.where)}" if item.where else ""
        name = f", name={_quoted(item.name)}" if item.name != item.column else ""
        made.append(f"Aggregate({_quoted(item.column)}, {functions[item.name]}{where}{name})")
    return _row("[", made, "]")


def _row(opening: str, parts: Iterable[str], closing: str) -> str:
    """The parts between brackets: in one line, or each in its own where that would be too long."""
    listed = list(parts)
    line = f"{opening}{', '.join(listed)}{closing}"
    return line if len(line) <= LINE and "\n" not in line else opening + "".join(f"\n        {one}," for one in listed) + f"\n    {closing}"


def _call(name: str, parts: Iterable[str]) -> str:
    return _row(f"{name}(", parts, ")")


def _mapping(pairs: Iterable[tuple[str, str]]) -> str:
    return "{" + ", ".join(f"{_quoted(name)}: {_quoted(text)}" for name, text in pairs) + "}"


def _named_by(source: Source) -> str:
    match source:
        case Sql():
            return source.connection
        case Push():
            return source.name
    return source.path


def source_definition(source: Source) -> str:
    """The declaration of `source` as it would be written.

    >>> source_definition(Delta("sales", "at", version=3))
    'Delta("sales", timestamp="at", version=3)'
    """
    parts = [_quoted(_named_by(source))]
    if isinstance(source, Sql):
        parts.append(f"table={_quoted(source.table)}" if source.table else f"query={_quoted(source.query)}")
    parts += [f"{name}={_quoted(text)}" for name, text in (("timestamp", source.timestamp), ("created", source.created)) if text]
    if isinstance(source, Csv) and source.separator != ",":
        parts.append(f"separator={_quoted(source.separator)}")
    if isinstance(source, Csv | Sql | Push) and source.columns:
        parts.append(f"columns={_mapping((one.name, one.dtype) for one in source.columns)}")
    if isinstance(source, Delta) and source.version is not None:
        parts.append(f"version={source.version}")
    return _call(type(source).__name__, parts)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t") + '"'
