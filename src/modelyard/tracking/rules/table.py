"""The table of runs as people set it up: which columns, in which order, grouped how. Owns what a view is and how its address reads.

A view is its address: equal views have equal queries, and a query alone brings the view back.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Literal
from urllib.parse import parse_qs, urlencode

import msgspec

from modelyard.core.clock import SECOND
from modelyard.core.errors import InvalidInput
from modelyard.core.names import nearest
from modelyard.tracking.domain import Run, RunFacts
from modelyard.tracking.grammar import ENTITIES, Comparison

Kind = Literal["attribute", "metric", "param", "tag"]
Cell = float | str | None
"""A metric's number, a text, or nothing. A NaN is the text `NaN`, so that it is told apart from nothing in JSON."""

ATTRIBUTES: Mapping[str, str] = {
    "status": "State", "start_time": "Started", "duration": "Took", "end_time": "Ended", "user_id": "User", "run_id": "Id",
    "experiment": "Experiment", "source": "Source", "environment": "Environment", "snapshot": "Snapshot",
}  # fmt: skip
SORTABLE = frozenset({"status", "run_name", "start_time", "end_time", "user_id", "run_id"})
FIRST_ATTRIBUTES = ("status", "start_time", "duration")
GROUPABLE = ("status", "user_id")
MOST_SHOWN = 40
MOST_PINNED = 3
LONGEST_QUERY = 8000
SYSTEM_TAGS = ("mlflow.", "modelyard.")
COLUMNS_AT_FIRST = 4
_KINDS: Mapping[str, Kind] = {"metrics": "metric", "params": "param", "tags": "tag"}
_WORDS = re.compile(r"'[^']*'|`[^`]*`|[A-Za-z_][\w./`\- ]*?(?=\s*(?:[<>=!]|\bI?LIKE\b|\bIN\b|\bIS\b|\bNOT\b))", re.IGNORECASE)


class TableView(msgspec.Struct, frozen=True, kw_only=True):
    """How a table of runs is set up. Columns bear the names that filters know: `metrics.loss`, `params.depth`, `start_time`.

    `sort` and `by` are columns with `-` before them for descending; `by` orders groups, by `value`, `runs` or a metric's mean.
    """

    filter: str = ""
    sort: str = ""
    show: tuple[str, ...] = ()
    pin: tuple[str, ...] = ()
    group: str = ""
    by: str = ""
    plot: Literal["", "parallel", "scatter"] = ""
    x: str = ""
    y: str = ""
    colour: str = ""


class ColumnName(msgspec.Struct, frozen=True, kw_only=True):
    """A column that the data has: the name that filters know it by, and the word over it."""

    name: str
    label: str
    kind: Kind


def query_of(view: TableView, **changes: object) -> str:
    """The query of a view's address, with some of its fields changed.

    >>> query_of(TableView(sort="-start_time", show=("metrics.loss",)), sort="")
    'show=metrics.loss'
    """
    fields = msgspec.structs.asdict(msgspec.structs.replace(view, **changes))
    return query_text(**fields)


def query_text(**fields: str | tuple[str, ...]) -> str:
    """A query of those fields that are not empty."""
    return urlencode({name: value for name, value in fields.items() if value}, doseq=True)


def view_of(query: str) -> TableView:
    """The view that a query says; fields that a view does not have are passed over, and so is a plot that is not known.

    Raises InvalidInput for more fields than a view has.
    """
    try:
        given = parse_qs(query, max_num_fields=4 * MOST_SHOWN)
    except ValueError as error:
        raise InvalidInput(f"a view has no more than {4 * MOST_SHOWN} fields", hint="show fewer columns") from error
    single = {name: given[name][-1] for name in ("filter", "sort", "group", "by", "x", "y", "colour") if name in given}
    plot = given.get("plot", [""])[-1]
    return TableView(
        **single,
        show=tuple(given.get("show", ())),
        pin=tuple(given.get("pin", ())),
        plot=plot if plot in ("parallel", "scatter") else "",  # type: ignore[arg-type]  # one of the three
    )


def tidied(view: TableView, left: str = "", right: str = "") -> TableView:
    """The view within its bounds: columns once and at most so many, pinned ones first, `left` or `right` moved by one place."""
    show = list(dict.fromkeys(name for name in view.show if kind_of(name) is not None))[:MOST_SHOWN]
    pin = [name for name in dict.fromkeys(view.pin) if name in show or (not show and kind_of(name) is not None)][:MOST_PINNED]
    for name, places in ((left, -1), (right, 1)):
        if name in show:
            at = show.index(name)
            to = min(max(at + places, 0), len(show) - 1)
            show[at], show[to] = show[to], show[at]
    ordered = tuple(sorted(show, key=lambda name: name not in pin))
    return msgspec.structs.replace(view, show=ordered, pin=tuple(pin))


def kind_of(name: str) -> Kind | None:
    """What kind of column a name means; None for none that there can be.

    >>> kind_of("metrics.loss"), kind_of("start_time"), kind_of("loss")
    ('metric', 'attribute', None)
    """
    head, dot, key = name.partition(".")
    if dot:
        return _KINDS.get(head) if key else None
    return "attribute" if name in ATTRIBUTES else None


def column_of(name: str) -> ColumnName:
    """The column of a name that `kind_of` knows."""
    kind = kind_of(name)
    assert kind is not None
    return ColumnName(name=name, label=ATTRIBUTES[name] if kind == "attribute" else name.partition(".")[2], kind=kind)


def is_offered(column: ColumnName, find: str) -> bool:
    """Whether a column has a word in its name; without a word, those that clients make for themselves are left out."""
    if find:
        return find.lower() in column.name.lower()
    return column.kind != "tag" or not column.label.startswith(SYSTEM_TAGS)


def is_sortable(name: str) -> bool:
    """Whether the search can order by the column."""
    return "." in name or name in SORTABLE


def order_by(sort: str) -> tuple[str, ...]:
    """The order in the grammar's words that a column asks for.

    >>> order_by("-metrics.val loss")
    ('metrics.`val loss` DESC',)
    """
    name = sort.removeprefix("-")
    return (f"{quoted(name)} {'DESC' if sort.startswith('-') else 'ASC'}",) if name else ()


def quoted(name: str) -> str:
    """A column's name as filters and orders write it."""
    entity, dot, key = name.partition(".")
    return f"{entity}.`{key}`" if dot else name


def narrowed(text: str, name: str, value: str) -> str | None:
    """The filter with one comparison more: that a column has that value. None where the grammar has no way to say it.

    >>> narrowed("metrics.a > 1", "params.depth", "6")
    "metrics.a > 1 AND params.`depth` = '6'"
    """
    quote = "'" if "'" not in value and not value.endswith("\\") else '"' if '"' not in value else None
    if quote is None:
        return None
    return f"{text} AND {quoted(name)} = {quote}{value}{quote}" if text.strip() else f"{quoted(name)} = {quote}{value}{quote}"


def cell(run: Run, name: str) -> Cell:
    """What a run has in a column. Instants are microseconds, a duration is seconds."""
    head, dot, key = name.partition(".")
    if not dot:
        return _attribute(run.facts, name)
    if head == "params":
        return run.params.get(key)
    if head == "tags":
        return run.tags.get(key)
    found = next((one for one in run.metrics if one.key == key), None)
    return None if found is None else "NaN" if found.value is None else found.value


def _attribute(facts: RunFacts, name: str) -> Cell:
    match name:
        case "status":
            return str(facts.status)
        case "start_time":
            return facts.started_at
        case "end_time":
            return facts.ended_at
        case "duration":
            return None if facts.ended_at is None else (facts.ended_at - facts.started_at) / SECOND
        case "experiment":
            return facts.experiment_id
        case "user_id":
            return facts.user
        case "run_id":
            return facts.id
    return {"source": facts.source_digest, "environment": facts.environment_digest, "snapshot": facts.snapshot_digest}.get(name)


def number_of(value: Cell) -> float | None:
    """The finite number that a cell holds or spells; None where it is none.

    >>> number_of("1e-3"), number_of("adam"), number_of(2.0)
    (0.001, None, 2.0)
    """
    try:
        found = float(value) if value is not None else float("nan")
    except ValueError:
        return None
    return found if found - found == 0 else None


def unknown_names(comparisons: Iterable[Comparison], known: Iterable[str]) -> str:
    """What to say where a filter names a metric, param or tag that no run has, with the name that is near; else nothing."""
    heads = {"metric": "metrics", "parameter": "params", "tag": "tags"}
    names = set(known)
    for one in comparisons:
        name = f"{heads[one.entity]}.{one.key}" if one.entity in heads else ""
        if name and name not in names and one.operator not in ("IS NULL", "!="):
            return f"No run here has {name}; {nearest(name, names)}"
    return ""


def suggestion(text: str, known: Iterable[str]) -> str:
    """A hint for a filter that was not understood: the known name that is nearest to one in it that is not known."""
    names = set(known) | set(ATTRIBUTES) | {"run_name"}
    bare: dict[str, str] = {}
    for name in sorted(names):
        bare.setdefault(name.partition(".")[2] or name, name)
    for found in _WORDS.findall(text[:1000]):
        word = found.strip().replace("`", "").removeprefix("AND ").removeprefix("and ").strip()
        head, dot, key = word.partition(".")
        if not word or found.startswith("'") or word in names or (dot and f"{_plural(head)}.{key}" in names):
            continue
        if word in bare:
            return f"did you mean {quoted(bare[word])}?"
        near = nearest(word, names)
        return near if near.startswith("did you mean") else nearest(word, bare) if nearest(word, bare).startswith("did") else near
    return ""


def _plural(head: str) -> str:
    return {"metric": "metrics", "parameter": "params", "tag": "tags"}.get(ENTITIES.get(head, ""), head)
