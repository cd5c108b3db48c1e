"""Invented figures in the shape of real ones, for the gallery. Drawn from a fixed seed, so that two drawings are the same."""

import math
import random

import msgspec

from modelyard.core.clock import SECOND, Instant
from modelyard.web.charts import Band, Bar, Bin, Chart, Dot, Event, Plane, Point, Series, bars, histograms, lines, scatter
from modelyard.web.lanes import Knot, Lane, lanes_of
from modelyard.web.parts import Change, Chip, Choice, Link, Moment, Pager, Step, Tone

NOW = Instant(1_795_467_600_000_000)
DAY = 86400 * SECOND


def before(days: float) -> Instant:
    """The instant `days` before the gallery's now."""
    return Instant(NOW - round(days * DAY))


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A model in the portfolio."""

    tone: Tone
    word: str
    name: str
    owner: str
    risk: str
    version: int
    live_at: Instant
    traffic: tuple[float, ...]
    metric: str
    value: float
    difference: float | None
    drift: str
    fresh_at: Instant
    next: str


_ROWS: tuple[tuple[Tone, str, str, str, str, int, float, str, float, float | None, str, float, str, int], ...] = (
    ("bad", "Failing", "fraud_score", "Payments", "high", 31, 2, "roc_auc", 0.871, -0.043, "3 features", 0.003, "Rolling back", 84),
    ("warn", "Drifting", "churn_90d", "Customer", "limited", 8, 41, "roc_auc", 0.792, -0.011, "2 features", 0.25, "Retraining", 12),
    ("warn", "Waiting", "credit_limit", "Lending", "high", 12, 19, "rmse", 0.118, 0.001, "none", 1, "2 approvals", 22),
    ("good", "Healthy", "late_arrival", "Ops analytics", "limited", 14, 12, "roc_auc", 0.712, -0.006, "none", 0.006, "", 41),
    ("good", "Healthy", "late_departure", "Ops analytics", "limited", 6, 12, "roc_auc", 0.734, 0.002, "none", 0.006, "", 37),
    ("good", "Healthy", "loan_default", "Lending", "high", 22, 63, "roc_auc", 0.804, 0.0, "none", 0.05, "Review in 9 d", 15),
    ("good", "Healthy", "demand_daily", "Supply", "minimal", 40, 1, "mape", 0.069, -0.003, "none", 0.1, "", 6),
    ("good", "Healthy", "route_eta", "Ops analytics", "limited", 9, 27, "mae", 3.4, 0.1, "none", 0.0007, "", 63),
    ("busy", "Shadow", "claims_triage", "Claims", "high", 3, 5, "pr_auc", 0.455, None, "none", 0.002, "Day 5 of 14", 9),
    ("idle", "Retired", "upsell_2024", "Customer", "minimal", 17, 210, "roc_auc", 0.661, None, "none", 90, "", 1),
)


def rows() -> tuple[Row, ...]:
    """The portfolio's models, worst first."""
    dice = random.Random(4)
    found = []
    for tone, word, name, owner, risk, version, days, metric, value, difference, drift, age, following, base in _ROWS:
        traffic = tuple(base * (1 + 0.5 * math.sin(i / 24 * 6.28 - 1.6) + dice.uniform(-0.07, 0.07)) for i in range(48))
        row = Row(
            tone=tone, word=word, name=name, owner=owner, risk=risk, version=version, live_at=before(days), traffic=traffic, metric=metric,
            value=value, difference=difference, drift=drift, fresh_at=before(age), next=following,
        )  # fmt: skip
        found.append(row)
    return tuple(found)


def performance() -> Chart:
    """A metric over sixty days, measured and estimated, with the approved band, two releases and an alarm."""
    dice = random.Random(11)
    truth = [0.718 + 0.006 * math.sin(i / 6) - (0.03 if 36 < i < 42 else 0) for i in range(60)]
    points = [Point(before(60 - i), value + dice.uniform(-0.004, 0.004)) for i, value in enumerate(truth[:52])]
    measured = [msgspec.structs.replace(p, low=(p.y or 0) - 0.008, high=(p.y or 0) + 0.008) for p in points]
    estimated = [Point(before(60 - i), value + dice.uniform(-0.007, 0.007)) for i, value in enumerate(truth)]
    events = (Event(before(54), "v13 live"), Event(before(20), "alarm", "bad"), Event(before(17), "v14 live"))
    series = (Series(name="measured", points=measured), Series(name="estimated", points=estimated, is_dashed=True))
    plane = Plane(y="roc_auc", format=".3f", height=190)
    return lines("roc_auc by day, measured and estimated", series, plane, band=Band("approved band", 0.70, 0.735), events=events)


def loss() -> Chart:
    """Training curves of two runs by step."""
    curves = [
        Series(name=name, points=[Point(i, 0.25 + math.exp(-i / rate) * 0.5) for i in range(0, 200, 4)])
        for name, rate in (("bold_kite", 30), ("calm_reef", 55), ("dry_moss", 80), ("early_fog", 110))
    ]
    return lines("loss by step", curves, Plane(x="step", y="log_loss", is_time=False, width=420))


def drift() -> Chart:
    """Drift per column against its limit."""
    items = (
        Bar("dep_delay_mean_1h", 0.31, "bad"),
        Bar("wind_speed", 0.17, "warn"),
        Bar("visib", 0.06),
        Bar("distance", 0.02),
        Bar("hour", 0.01),
    )
    return bars("drift by column", items, Plane(x="PSI against training", format=".2f", width=420), limit=0.25)


def shift() -> Chart:
    """A column's distribution, reference and current."""
    centre = [i * 4 + 2 for i in range(16)]
    shape = [[math.exp(-((c - m) ** 2) / (2 * s * s)) for c in centre] for m, s in ((24, 10), (33, 12))]
    shares = [[v / sum(values) for v in values] for values in shape]
    bins = [Bin(low=i * 4, high=i * 4 + 4, reference=shares[0][i], current=shares[1][i]) for i in range(16)]
    return histograms("dep_delay_mean_1h, reference and current", bins, Plane(x="minutes", height=180, width=420))


def trade() -> Chart:
    """Runs by latency and quality."""
    dice = random.Random(3)
    dots = [
        Dot(x=dice.uniform(0.8, 9), y=0.66 + dice.random() * 0.07, name=f"run_{i}", group="LightGBM" if i % 3 else "logistic")
        for i in range(40)
    ]
    return scatter("quality against latency", dots, Plane(x="latency p99, ms", y="roc_auc", format=".3~f", width=420))


STEPS = (
    Step(name="Snapshot", state="done", text="281,406 rows", href="#snapshot"),
    Step(name="Check", state="done", text="14 of 14"),
    Step(name="Train", state="done", text="41 s"),
    Step(name="Evaluate", state="done", text="roc_auc 0.719"),
    Step(name="Challenge", state="done", text="p_worse 0.02"),
    Step(name="Benchmark", state="skipped", text="unchanged"),
    Step(name="Stage", state="now", text="7,140 of 20,000"),
    Step(name="Approve", state="waits", text="1 of 2 people"),
    Step(name="Roll out", state="next", text="1, 10, 50%"),
)
FAILED = (
    *STEPS[:4],
    Step(name="Challenge", state="failed", text="p_worse 0.31"),
    *(Step(name=name) for name in ("Stage", "Approve", "Roll out")),
)
MOMENTS = (
    Moment(at=before(0.003), title="Canary at 10%", text="No failed request in 4,210; p99 2.1 ms.", tone="busy", href="#canary"),
    Moment(at=before(0.2), title="Approved by Ada Byron", text="“Slices look fine; LGA is within its band.”", tone="good"),
    Moment(at=before(1.1), title="Gate refused v12", text="challenge.p_worse < 0.05 was 0.31", tone="bad"),
    Moment(at=before(2.4), title="Drift in 2 of 11 columns", tone="warn"),
    Moment(at=before(12), title="v14 live"),
)
CHANGES = (
    Change("learning_rate", "0.1", "0.05"),
    Change("num_leaves", "31", "31"),
    Change("min_data_in_leaf", None, "40"),
    Change("feature_set", "v4", "v5"),
    Change("bagging", "0.8", None),
)
CHIPS = (
    Chip("All", "?", 47, is_on=True),
    Chip("Needs a look", "?filter=look", 3),
    Chip("High risk", "?filter=high", 14),
    Chip("Mine", "?filter=mine", 9),
)
CRUMBS = (Link("Models", "/models"), Link("late_arrival", "/models/late_arrival"))
PAGER = Pager(said="1 to 10 of 47", first="?", next="?after=x")
CHOICES = (Choice("minimal", "Minimal"), Choice("limited", "Limited", is_on=True), Choice("high", "High"))
DIGEST = "sha256:9f2c5a17b3d0c4e8f6a1927de0b45c3188fa02b7d9e64c115a3f7b20c8d4e17a"
CODE = """airport = Entity("origin", dtype=pl.String)
weather = FeatureView("weather", entity=airport, ttl="3h",
                      source=Parquet("weather.parquet", timestamp="time_hour"))"""

LINEAGE = lanes_of(
    "where the weather comes from",
    [
        Lane("Source", (Knot(id="s", label="data/<weather>.parquet", note="Parquet"),)),
        Lane("Models", (Knot(id="m", label="late", href="/models/late", tone="good", is_here=True),)),
    ],
    [("s", "m")],
)
