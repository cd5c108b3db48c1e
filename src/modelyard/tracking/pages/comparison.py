"""Runs side by side: curves, metrics with the best marked, what differs in params, tags, code, environment and data."""

from collections.abc import Mapping, Sequence

import msgspec

from modelyard.access.domain import Principal
from modelyard.storage.blobs import Blobs
from modelyard.storage.database import Snapshot
from modelyard.tracking import service
from modelyard.tracking.domain import MODEL_HISTORY_TAG, RUN_NAME_TAG, ExperimentId, Run, RunFacts, RunId
from modelyard.tracking.pages.curves import Curves, CurveView, curve_query, curves_of
from modelyard.tracking.pages.looks import TONES, address, duration_of
from modelyard.tracking.rules.differences import Direction, Row, best_of, dataset_facts, direction_of, side_by_side
from modelyard.tracking.rules.table import query_text
from modelyard.web.parts import Link, Tone
from modelyard.web.plots import key_of
from modelyard.web.words import number

CODE_TAGS = ("mlflow.source.", "modelyard.git", "modelyard.code", "modelyard.source", "modelyard.command")
TOLD_ELSEWHERE = frozenset({RUN_NAME_TAG, MODEL_HISTORY_TAG, "modelyard.environment_digest", "modelyard.snapshot_digest"})
MOST_CELLS = 8000
"""How many values of one kind the page shows: of fifty runs 160 metrics, of two runs 4000."""


class ComparedRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run among those compared: its place's colour, and where the comparison goes without it or with it first."""

    facts: RunFacts
    tone: Tone
    duration_s: float | None
    experiment: str
    key: str
    without: str
    as_first: str
    diff: str


class MetricRow(msgspec.Struct, frozen=True, kw_only=True):
    """A metric of the runs: its latest values, which way is better, and where that is said otherwise."""

    row: Row
    direction: Direction
    turned: str


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that runs are compared by: its rows that are shown and of how many, how many differ and are there, what is missing."""

    title: str
    rows: tuple[Row, ...]
    of: int
    differ: int
    total: int
    note: str = ""


class ComparisonPage(msgspec.Struct, frozen=True, kw_only=True):
    """The context of `tracking/comparison.html`. `all` says whether what is the same everywhere is shown, too."""

    runs: tuple[ComparedRun, ...]
    kept: tuple[tuple[str, str], ...]
    all: bool
    toggled: str
    wide: str
    curves: Curves | None
    metrics: tuple[MetricRow, ...]
    metrics_total: int
    params: Part
    parts: tuple[Part, ...]
    plots: tuple[Link, ...]
    crumbs: tuple[Link, ...]


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """What the address of a comparison says beside the curves: the runs, whether all is shown, and metrics whose way is told."""

    run: tuple[RunId, ...] = ()
    all: bool = False
    low: tuple[str, ...] = ()
    high: tuple[str, ...] = ()


def show_comparison(snapshot: Snapshot, principal: Principal, blobs: Blobs, asked: Compared, curve: CurveView) -> ComparisonPage:
    """Runs side by side, the first one as the one that others are held against."""
    found = service.get_comparison(snapshot, principal, asked.run, MOST_CELLS)
    runs, measured = found.runs, found.metrics
    names = _experiment_names(snapshot, principal, runs)
    each = [query_text(run=run.facts.id) for run in runs]
    fixed = "&".join(each)
    more = query_text(all="true" if asked.all else "", low=asked.low, high=asked.high)
    keys = sorted(measured, key=lambda key: (measured[key] < 2, key))
    drawn = curves_of(snapshot, principal, {run.facts.id: run.facts.name for run in runs}, keys, curve) if keys and len(runs) > 1 else None
    here = curve_query(drawn.view if drawn else curve)
    flipped = query_text(all="" if asked.all else "true", low=asked.low, high=asked.high)
    return ComparisonPage(
        runs=tuple(_compared(n, runs, names, (each, more, here)) for n in range(len(runs))),
        kept=(*(("run", run.facts.id) for run in runs), *((("all", "true"),) if asked.all else ()), *_told(asked)),
        all=asked.all,
        toggled=address("/runs/compare", fixed, flipped, here),
        wide=address("/runs/compare", fixed, more, drawn.wide) if drawn and drawn.wide else "",
        curves=drawn,
        metrics=_metrics(found, asked, (fixed, here)),
        metrics_total=len(measured),
        params=part("Params", [run.params for run in runs], is_all=asked.all),
        parts=_parts(snapshot, blobs, runs, is_all=asked.all),
        plots=_plots(runs),
        crumbs=(Link("Experiments", "/experiments"), *(Link(name, f"/experiments/{one}") for one, name in list(names.items())[:3])),
    )


def _told(asked: Compared) -> tuple[tuple[str, str], ...]:
    return (*(("low", key) for key in asked.low), *(("high", key) for key in asked.high))


def _experiment_names(snapshot: Snapshot, principal: Principal, runs: Sequence[Run]) -> dict[ExperimentId, str]:
    ids = dict.fromkeys(run.facts.experiment_id for run in runs)
    return {one: service.get_experiment(snapshot, principal, one).name for one in ids}


def _compared(place: int, runs: Sequence[Run], names: Mapping[ExperimentId, str], queries: tuple[Sequence[str], str, str]) -> ComparedRun:
    facts, (each, *rest) = runs[place].facts, queries
    others = "&".join(one for n, one in enumerate(each) if n != place)
    return ComparedRun(
        facts=facts,
        tone=TONES[facts.status],
        duration_s=duration_of(facts),
        experiment=names[facts.experiment_id],
        key=key_of(place),
        without=address("/runs/compare", others, *rest) if len(runs) > 2 else "",
        as_first=address("/runs/compare", each[place], others, *rest) if place else "",
        diff=address("/runs/diff", base=runs[0].facts.id, other=facts.id) if place else "",
    )


def part(title: str, sides: Sequence[Mapping[str, str]], *, is_all: bool, note: str = "") -> Part:
    """What runs have under some keys: the rows that differ, or all of them, as far as a page shows them."""
    return _shown(title, side_by_side(sides), is_all=is_all, note=note)


def _shown(title: str, rows: tuple[Row, ...], *, is_all: bool, note: str) -> Part:
    differ = tuple(row for row in rows if not row.is_same)
    wanted = rows if is_all else differ
    most = MOST_CELLS // max(len(rows[0].values), 1) if rows else 0
    return Part(title=title, rows=wanted[:most], of=len(wanted), differ=len(differ), total=len(rows), note=note)


def _metrics(found: service.Comparison, asked: Compared, queries: tuple[str, str]) -> tuple[MetricRow, ...]:
    values = [{one.key: one.value for one in run.metrics} for run in found.runs]
    rows = []
    for key in found.shown:
        direction: Direction = "low" if key in asked.low else "high" if key in asked.high else direction_of(key)
        known = [side.get(key) for side in values]
        texts = tuple(("NaN" if side[key] is None else number(side[key])) if key in side else None for side in values)
        row = Row(key=key, values=texts, is_same=len(set(texts)) == 1, best=best_of(known, direction))
        rows.append(MetricRow(row=row, direction=direction, turned=_turned(key, direction, asked, queries)))
    return tuple(rows)


def _turned(key: str, direction: Direction, asked: Compared, queries: tuple[str, str]) -> str:
    """Where a metric is best the other way round."""
    low = tuple(one for one in asked.low if one != key) + ((key,) if direction == "high" else ())
    high = tuple(one for one in asked.high if one != key) + ((key,) if direction != "high" else ())
    fixed, here = queries
    return address("/runs/compare", fixed, query_text(all="true" if asked.all else "", low=low, high=high), here)


def _parts(snapshot: Snapshot, blobs: Blobs, runs: Sequence[Run], *, is_all: bool) -> tuple[Part, ...]:
    code = [{key: value for key, value in run.tags.items() if key.startswith(CODE_TAGS)} for run in runs]
    tags = [{key: value for key, value in run.tags.items() if not key.startswith(CODE_TAGS) and key not in TOLD_ELSEWHERE} for run in runs]
    return (
        part("Tags", tags, is_all=is_all),
        part("Code", code, is_all=is_all, note="" if any(code) else "No run says which code it ran."),
        _environments(service.list_packages(snapshot, blobs, runs), runs, is_all=is_all),
        _data(runs, is_all=is_all),
    )


def _environments(packages: Sequence[Mapping[str, str] | None], runs: Sequence[Run], *, is_all: bool) -> Part:
    without = [run.facts.name for run, found in zip(runs, packages, strict=True) if found is None]
    digests: list[dict[str, str]] = [
        {"environment digest": run.facts.environment_digest} if run.facts.environment_digest else {} for run in runs
    ]
    if len(without) == len(runs):
        return part("Environment", digests, is_all=is_all, note="No run left a list of its packages.")
    # A run without a list is no run without packages: it says nothing of them.
    rows = side_by_side([{**digest, **(found or {})} for digest, found in zip(digests, packages, strict=True)])
    told = [n for n, found in enumerate(packages) if found is not None]
    settled = tuple(msgspec.structs.replace(row, is_same=len({row.values[n] for n in told}) == 1) for row in rows)
    return _shown("Environment", settled, is_all=is_all, note=f"No list of packages from {', '.join(without[:5])}." if without else "")


def _data(runs: Sequence[Run], *, is_all: bool) -> Part:
    facts = [dataset_facts(run.datasets) for run in runs]
    for run, known in zip(runs, facts, strict=True):
        if run.facts.snapshot_digest:
            known["training snapshot"] = run.facts.snapshot_digest
    return part("Data", facts, is_all=is_all, note="" if any(facts) else "No run says which data it read.")


def _plots(runs: Sequence[Run]) -> tuple[Link, ...]:
    """The same runs as a table and as plots: a filter by their ids."""
    ids = ", ".join(f"'{run.facts.id}'" for run in runs)
    fixed = query_text(experiment=tuple(dict.fromkeys(run.facts.experiment_id for run in runs)), filter=f"run_id IN ({ids})")
    shapes = (("Table", ""), ("Parallel coordinates", "parallel"), ("Scatter", "scatter"))
    return tuple(Link(label, address("/runs", fixed, plot=plot)) for label, plot in shapes) if len(runs) > 1 else ()
