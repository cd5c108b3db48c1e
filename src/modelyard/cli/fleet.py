"""`yard portfolio`, `questions`, `trace`: every model, the six questions answered, and what a prediction was made from, as a tree."""

from typing import Annotated

from cyclopts import Parameter
from rich.markup import escape
from rich.tree import Tree

from modelyard.cli.connection import connected
from modelyard.cli.output import console, print_json, print_table
from modelyard.core.clock import iso
from modelyard.fleet.domain import Node, Row, Trace

Json = Annotated[bool, Parameter(name="--json", negative="", show_default=False, help="One JSON document on standard output.")]
COLOURS = {"good": "green", "warn": "yellow", "bad": "red", "idle": "dim", "busy": "blue"}
LONG_ID = 30


def portfolio(*, json: Json = False) -> int:
    """Every model, worst first: what is live, how it does, and what waits for whom. Example: yard portfolio"""
    with connected() as client:
        found = client.get_portfolio()
    if json:
        print_json(found)
        return 0
    rows = [
        (
            f"[{COLOURS[row.tone]}]{row.word}[/]",
            escape(row.model),
            escape(row.owner),
            row.risk,
            _live(row),
            "" if row.answered is None else f"{row.answered:,}",
            _quality(row),
            str(sum(row.alerts.values()) or ""),
            "" if row.delivery is None else str(row.delivery.state).replace("_", " "),
            escape(row.next),
        )
        for row in found.rows
    ]
    heads = ("state", "model", "owner", "risk", "live", "since yesterday#", "quality", "alerts#", "last delivery", "next")
    print_table(f"{found.healthy} of {found.live} live models are healthy", heads, rows)
    return 0


def _live(row: Row) -> str:
    canary = f", v{row.canary} {row.canary_share:.0%}" if row.canary is not None else ""
    return "" if row.version is None else f"v{row.version}{canary}"


def _quality(row: Row) -> str:
    if row.quality is None or row.quality.value is None:
        return ""
    difference = f" ({row.quality.difference:+.3f})" if row.quality.difference is not None else ""
    return f"{row.quality.metric} {row.quality.value:.3f}{difference}"


def questions(*, json: Json = False) -> int:
    """The six questions, answered live from the records, each with what it rests on. Example: yard questions"""
    with connected() as client:
        found = client.get_questions()
    if json:
        print_json(found)
        return 0
    for answer in found.answers:
        console().print(f"[bold]{answer.number} {escape(answer.question)}[/]", soft_wrap=True)
        console().print(f"  [{COLOURS[answer.tone]}]{escape(answer.sentence)}[/] [dim]{answer.took_ms:.0f} ms[/]", soft_wrap=True)
        if answer.next:
            console().print(f"  next: {escape(answer.next)}", soft_wrap=True)
        proofs = [f"{one.text}, entry {one.entry}" if one.entry is not None else one.text for one in answer.proofs]
        for proof in proofs:
            console().print(f"  [dim]{escape(proof)}[/]", soft_wrap=True)
    return 0


def trace(id: str, *, json: Json = False) -> int:  # noqa: A002 - the argument's word
    """Everything upstream and downstream of a prediction, version, run, digest, feature view or delivery.

    Example: yard trace late_arrival/3
    """
    with connected() as client:
        found = client.get_trace(id.removeprefix("models:/").replace("/", "@"))
    if json:
        print_json(found)
    else:
        console().print(_drawn(found), soft_wrap=True)
        console().print(f"[dim]found in {found.took_ms:.0f} ms[/]")
    return 0


def _drawn(found: Trace) -> Tree:
    tree = Tree(escape(found.sentence), guide_style="dim")
    _add(tree, found.itself)
    for title, nodes in (("upstream", found.up), ("downstream", found.down)):
        if nodes:
            branch = tree.add(f"[dim]{title}[/]")
            for node in nodes:
                _add(branch, node)
    return tree


def _add(tree: Tree, node: Node) -> None:
    words = [f"[dim]{node.kind}[/] [bold]{escape(node.title)}[/]", escape(node.id) if len(node.id) > LONG_ID else "", escape(node.said)]
    if node.at is not None:
        words.append(f"[dim]{iso(node.at)[:16]}[/]")
    branch = tree.add("  ".join(word for word in words if word))
    if node.facts:
        branch.add(escape(", ".join(f"{fact.term} {fact.value}" for fact in node.facts)))
    if node.entries:
        branch.add("[dim]ledger[/] " + escape(", ".join(f"{one.index} {one.type} by {one.actor}" for one in node.entries)))
    for below in node.below:
        _add(branch, below)
