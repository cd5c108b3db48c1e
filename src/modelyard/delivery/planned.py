"""A view's plan in words: one line for each thing that happens to features, to served models, to other sets, and online."""

from collections.abc import Iterator

from modelyard.core.names import listed
from modelyard.features.domain import ViewPlan

MOST_NAMED = 6


def lines_of(plan: ViewPlan) -> Iterator[tuple[str, str, str, str]]:
    """The kind of change, of what, of which name, and what is to be known of it.

    Features to which the same happens share a line.
    """
    alike: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for one in plan.changes:
        alike.setdefault((one.kind, one.what), []).append(one.feature)
    for (kind, what), features in alike.items():
        yield kind, "feature" if len(features) == 1 else f"{len(features)} features", f"{plan.view}: {_few(features)}", "; ".join(what)
    if plan.before is None:
        return
    versions = f"version {plan.number} of {plan.view}"
    for reader in plan.readers:
        answers = "answers by" if reader.is_answering else "is kept ready with"
        detail = f"{answers} the version of {plan.view} that it was trained on and goes on to: its values do not change"
        yield "keep", "model", reader.reader, detail
    for name in plan.sets:
        yield "keep", "feature set", name, f"reads the version before until it is applied over {versions}"
    yield "recompute", "view", plan.view, _recomputed(plan, versions)


def _recomputed(plan: ViewPlan, version: str) -> str:
    if plan.rows == 0:
        return f"{version} was online before and goes on from there"
    rows = "all rows of its source" if plan.rows is None else f"about {plan.rows:,} rows"
    return f"{version} is brought online from {rows}; models read it once they are trained anew"


def _few(names: list[str]) -> str:
    return listed(names if len(names) <= MOST_NAMED else [*names[: MOST_NAMED - 1], f"{len(names) - MOST_NAMED + 1} more"])
