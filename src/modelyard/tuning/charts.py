"""The charts of a study: its history, what mattered, each parameter's slice, all of them side by side, what was reported."""

from collections.abc import Mapping, Sequence

from modelyard.delivery.search_space import Choice, Domain, Integers, LogUniform, Value
from modelyard.tuning.domain import Report, Study, Trial, TrialState
from modelyard.tuning.rules.importance import scaled
from modelyard.tuning.rules.studies import best_of, best_so_far, is_better
from modelyard.web.charts import Bar, Chart, Json, Plane, bars, composed

HALF = 360
MOST_DRAWN = 500
MOST_POINTS = 1000
MOST_CURVES = 60
POINTS_OF_A_CURVE = 100
TOP = 0.1
QUIET, LOUD, STOPPED = "var(--ink-3)", "var(--series-1)", "var(--warn)"


def history(study: Study, trials: Sequence[Trial]) -> Chart | None:
    """The value of every trial that completed, and the best up to each; None before the first."""
    ended = [one for one in trials if one.state is TrialState.COMPLETE and one.value is not None]
    if not ended:
        return None
    best = best_so_far([one.value for one in ended], higher_is_better=study.higher_is_better)
    so_far_by = dict(zip([one.number for one in ended], best, strict=True))
    rows = [{"trial": one.number, "value": one.value, "best": so_far_by[one.number]} for one in _thinned(ended, study)]
    x: Json = {"field": "trial", "type": "quantitative", "scale": {"nice": False}}
    x |= {"axis": {"title": "trial", "tickMinStep": 1, "format": "d"}}
    y: Json = {"type": "quantitative", "scale": {"zero": False}, "axis": {"title": study.metric}}
    tip: list[Json] = [{"field": "trial", "title": "trial"}, {"field": "value", "title": study.metric, "format": ".5~g"}]
    so_far: Json = {"x": x, "y": {**y, "field": "best"}}
    each: Json = {"x": x, "y": {**y, "field": "value"}, "tooltip": tip}
    layers: list[Json] = [
        {
            "mark": {"type": "line", "interpolate": "step-after", "color": "var(--series-2)", "strokeWidth": 1.8},
            "encoding": so_far,
        },
        {
            "mark": {"type": "point", "filled": True, "size": 40, "color": LOUD, "opacity": 0.85},
            "encoding": each,
        },
    ]
    keys = (("trial", "key-1 dot"), ("best so far", "key-2"))
    label = f"{study.metric} of each of {len(ended)} trials, and the best so far"
    return composed(label, {"data": {"values": rows}, "layer": layers}, Plane(height=220), keys)


def _thinned(trials: Sequence[Trial], study: Study) -> list[Trial]:
    """The trials, or where they are too many to draw, the best of every few that follow each other."""
    few = -(-len(trials) // MOST_POINTS)
    kept = (best_of(trials[start : start + few], higher_is_better=study.higher_is_better) for start in range(0, len(trials), few))
    return [one for one in kept if one is not None]


def importance(shares: Mapping[str, float]) -> Chart | None:
    """The share of each parameter in what separates the best trials from all; None where there are too few."""
    if not shares:
        return None
    items = [Bar(name=name, value=share) for name, share in shares.items()]
    return bars("Importance of each parameter", items, Plane(x="importance", format=".0%", width=HALF))


def slices(study: Study, trials: Sequence[Trial]) -> tuple[Chart, ...]:
    """For each parameter, the value of every trial over what it was given."""
    ended = [one for one in trials if one.state is TrialState.COMPLETE and one.value is not None][-MOST_DRAWN:]
    return tuple(_slice(study, name, domain, ended) for name, domain in study.space.domains.items()) if ended else ()


def _slice(study: Study, name: str, domain: Domain, trials: Sequence[Trial]) -> Chart:
    best = _best(study, trials)
    rows = [{"x": one.parameters[name], "value": one.value, "trial": one.number, "is": "best" if one is best else ""} for one in trials]
    x: Json = {"field": "x", "axis": {"title": name}}
    if isinstance(domain, Choice):
        rows = [row | {"x": str(row["x"])} for row in rows]
        x |= {"type": "nominal", "scale": {"domain": [str(one) for one in domain.options]}, "axis": {"title": name, "labelAngle": 0}}
    else:
        is_log = isinstance(domain, LogUniform) or (isinstance(domain, Integers) and domain.log)
        x |= {"type": "quantitative", "scale": {"nice": False, "type": "log"} if is_log else {"nice": False, "zero": False}}
        x |= {"axis": {"title": name, "tickCount": 4, "format": ".3~r"}}
    tones: Json = {"domain": ["", "best"], "range": [LOUD, "var(--series-2)"]}
    encoding: Json = {
        "x": x,
        "y": {"field": "value", "type": "quantitative", "scale": {"zero": False}, "axis": {"title": study.metric}},
        "color": {"field": "is", "type": "nominal", "scale": tones, "legend": None},
        "size": {"condition": {"test": "datum.is === 'best'", "value": 110}, "value": 40},
        "tooltip": [
            {"field": "trial", "title": "trial"},
            {"field": "x", "title": name},
            {"field": "value", "title": study.metric, "format": ".5~g"},
        ],
    }
    mark: Json = {"type": "point", "filled": True, "opacity": 0.8}
    return composed(
        f"{study.metric} over {name}", {"data": {"values": rows}, "mark": mark, "encoding": encoding}, Plane(height=170, width=HALF)
    )


def parallel(study: Study, trials: Sequence[Trial]) -> Chart | None:
    """Each trial as a line over all parameters and the metric, the best tenth in colour; None before the second."""
    ended = [one for one in trials if one.state is TrialState.COMPLETE and one.value is not None][-MOST_DRAWN:]
    if len(ended) <= 1:
        return None
    axes, values = list(study.space.domains), [one.value for one in ended if one.value is not None]
    ranked = sorted(values, reverse=study.higher_is_better)
    limit = ranked[max(round(TOP * len(ranked)), 1) - 1]
    low, high = min(values), max(values)
    rows: list[Json] = []
    for one in ended:
        assert one.value is not None  # those were chosen
        group = "all" if is_better(limit, one.value, higher_is_better=study.higher_is_better) else "best tenth"
        told: Json = {"trial": one.number, "group": group}
        rows += [
            told | {"axis": name, "y": _share(study.space.domains[name], one.parameters[name]), "is": _said(one.parameters[name])}
            for name in axes
        ]
        rows.append(told | {"axis": study.metric, "y": (one.value - low) / (high - low) if high > low else 0.5, "is": _said(one.value)})
    x: Json = {"field": "axis", "type": "nominal", "sort": [*axes, study.metric]}
    x |= {
        "scale": {"type": "point", "padding": 0.35},
        "axis": {"title": None, "labelAngle": 0, "grid": True, "domain": False, "ticks": False},
    }
    y: Json = {"field": "y", "type": "quantitative", "scale": {"domain": [-0.06, 1.06]}, "axis": None}
    tip = [{"field": "trial", "title": "trial"}, {"field": "axis", "title": "parameter"}, {"field": "is", "title": "value"}]
    lines: list[Json] = [
        {
            "transform": [{"filter": f"datum.group === '{group}'"}],
            "mark": {"type": "line", "color": colour, "strokeWidth": width, "opacity": opacity, "strokeJoin": "round"},
            "encoding": {"x": x, "y": y, "detail": {"field": "trial"}, "tooltip": tip},
        }
        for group, colour, width, opacity in (("all", QUIET, 1, 0.35), ("best tenth", LOUD, 1.8, 0.95))
    ]
    layers = [*lines, *_ends(study, axes, (low, high), x)]
    keys = (("best tenth", "key-1"), ("other trials", "key-quiet"))
    label = f"Parameters and {study.metric} of {len(ended)} trials, side by side"
    return composed(label, {"data": {"values": rows}, "layer": layers}, Plane(height=240), keys)


def _ends(study: Study, axes: Sequence[str], values: tuple[float, float], x: Json) -> list[Json]:
    """What stands at the low and at the high end of each axis; a choice's options stand at their places."""
    marks: list[Json] = []
    for name in axes:
        domain = study.space.domains[name]
        options: Sequence[Value] = domain.options if isinstance(domain, Choice) else (domain.low, domain.high)
        marks += [{"axis": name, "y": _share(domain, one), "word": _said(one)} for one in options]
    marks += [{"axis": study.metric, "y": share, "word": _said(value)} for share, value in zip((0.0, 1.0), values, strict=True)]
    y: Json = {"field": "y", "type": "quantitative", "scale": {"domain": [-0.06, 1.06]}, "axis": None}
    mark: Json = {"type": "text", "align": "left", "dx": 5, "fontSize": 11, "fill": "var(--ink-2)", "limit": 90}
    return [{"data": {"values": marks}, "mark": mark, "encoding": {"x": x, "y": y, "text": {"field": "word"}}}]


def curves(study: Study, trials: Sequence[Trial], reports: Mapping[int, Sequence[Report]]) -> Chart | None:
    """What the latest trials reported by step: the best one, those that were stopped, and the others; None where nothing was."""
    told = [one for one in trials if len(reports.get(one.number, ())) > 1][-MOST_CURVES:]
    if not told:
        return None
    best = _best(study, told)
    rows: list[Json] = []
    for one in told:
        group = "best" if one is best else "stopped early" if one.state is TrialState.PRUNED else "others"
        rows += [{"trial": one.number, "group": group, "step": point.step, "value": point.value} for point in reports[one.number]]
    x: Json = {"field": "step", "type": "quantitative", "axis": {"title": "step", "tickMinStep": 1}, "scale": {"nice": False}}
    y: Json = {"field": "value", "type": "quantitative", "scale": {"zero": False}, "axis": {"title": "reported"}}
    tip = [
        {"field": "trial", "title": "trial"},
        {"field": "step", "title": "step"},
        {"field": "value", "title": "reported", "format": ".5~g"},
    ]
    layers: list[Json] = [
        {
            "transform": [{"filter": f"datum.group === '{group}'"}],
            "mark": {"type": "line", "color": colour, "strokeWidth": width, "opacity": opacity, "invalid": "break-paths-show-domains"},
            "encoding": {"x": x, "y": y, "detail": {"field": "trial"}, "tooltip": tip},
        }
        for group, colour, width, opacity in (("others", QUIET, 1, 0.4), ("stopped early", STOPPED, 1.2, 0.9), ("best", LOUD, 2, 1.0))
    ]
    keys = (("best", "key-1"), ("stopped early", "key-warn"), ("others", "key-quiet"))
    return composed("Values that trials reported, by step", {"data": {"values": rows}, "layer": layers}, Plane(height=220), keys)


def _best(study: Study, trials: Sequence[Trial]) -> Trial | None:
    ended = [one for one in trials if one.state is TrialState.COMPLETE and one.value is not None]
    chosen = max if study.higher_is_better else min
    return chosen(ended, key=lambda one: one.value if one.value is not None else 0.0, default=None)


def _share(domain: Domain, value: Value) -> float:
    """Where a value lies between the ends of its domain, in [0, 1]."""
    if isinstance(domain, Choice):
        return domain.options.index(value) / (len(domain.options) - 1)
    low, high = scaled(domain, domain.low), scaled(domain, domain.high)
    return (scaled(domain, value) - low) / (high - low)


def _said(value: Value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)[:40]
