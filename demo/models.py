"""Two models of the flights out of New York. Both answer two hours before the hour of departure, from what is known then."""

import lightgbm
import polars as pl

from modelyard import (
    Aggregate,
    Entity,
    FeatureView,
    Parquet,
    Window,
    canary,
    constant,
    drift,
    gate,
    model,
    numbers,
    on,
    on_demand,
    performance,
    quality,
    rows,
)

airport = Entity("origin", description="One of the three airports of New York")
plane = Entity("tailnum", description="A plane by its tail number")

weather = FeatureView(
    "weather",
    airport,
    Parquet("data/weather.parquet", timestamp="observed_at", created="reported_at"),
    features=["temp", "wind_speed", "precip", "visib", "pressure"],
    ttl="4h",
    freshness="12h",
    owner="ops-analytics",
)
airport_delays = FeatureView(
    "airport_delays",
    airport,
    Parquet("data/departures.parquet", timestamp="departed_at", created="recorded_at"),
    aggregate=[Aggregate("dep_delay", ["mean", "p90", "count"]), Aggregate("dep_delay", "count", where="dep_delay >= 15", name="late")],
    windows=[Window("2h"), Window("1d")],
    freshness="12h",
    owner="ops-analytics",
    description="How late flights have left each airport",
)
inbound = FeatureView(
    "inbound",
    plane,
    Parquet("data/landings.parquet", timestamp="landed_at"),
    features=["arr_delay"],
    ttl="12h",
    owner="ops-analytics",
    description="How late the plane was when it last landed",
)


@on_demand
def delay_rise(dep_delay_mean_2h: float, dep_delay_mean_1d: float) -> float:
    """How many minutes later the airport's flights of the last two hours have left than those of the last day."""
    return dep_delay_mean_2h - dep_delay_mean_1d


# What both models are asked with, beside the keys `origin` and `tailnum`.
REQUEST = {"carrier": pl.String, "dest": pl.String, "distance": pl.Int64, "hour": pl.Int64}
FLIGHTS = "data/flights.parquet"
# Each season is warmer or colder than what a model has learned from: that is drift, not a bad value.
CHECKED = [name for view in (weather, airport_delays, inbound) for name in view.names if name != "temp"]
# A trigger needs a version that is better beyond chance; people, by hand or by a push, may release one no worse by more than 0.01.
GATES = [
    gate("metrics.roc_auc >= 0.62"),
    gate("champion == null || challenge.p_worse < 0.05 || (cause in ['person', 'push'] && challenge.low > -0.01)"),
]


@model(
    owner="ops-analytics",
    risk="limited",
    purpose="Warn passengers of a late arrival, two hours before the hour of their departure.",
    features=[weather, airport_delays, inbound, delay_rise],
    request=REQUEST,
    rows=rows(FLIGHTS, timestamp="scheduled_at", known="landed_at", history="180d"),
    as_of="2h before scheduled_hour",
    label="late_arrival",
    slices=["origin", "carrier"],
    gates=GATES,
    rollout=canary(10, 50, bake="12h"),
    monitors=[drift(), quality(CHECKED), performance("roc_auc", drop=0.03, window="14d")],
    retrain=on.degradation(cooldown="14d") | on.schedule("0 0 1 * *"),
    fallback=constant(0.25),
)
def late_arrival(rows: pl.DataFrame, *, trees: int = 120, leaves: int = 31, rate: float = 0.06, sample: float = 1.0) -> lightgbm.Booster:
    """A classifier of `late_arrival`: at least 15 minutes late at the gate of the destination."""
    return fitted(rows.sample(fraction=sample, seed=1), "late_arrival", trees, num_leaves=leaves, learning_rate=rate)


@model(
    owner="ground-handling",
    risk="limited",
    purpose="Plan crews and gates for flights that will leave late.",
    features=[weather, airport_delays, inbound, delay_rise],
    request=REQUEST,
    rows=rows(FLIGHTS, timestamp="scheduled_at", known="departed_at", history="180d"),
    as_of="2h before scheduled_hour",
    label="late_departure",
    slices=["origin", "carrier"],
    gates=GATES,
    rollout=canary(10, 50, bake="12h"),
    monitors=[drift(), quality(CHECKED), performance("roc_auc", drop=0.03, window="14d")],
    retrain=on.degradation(cooldown="14d"),
    fallback=constant(0.22),
)
def late_departure(rows: pl.DataFrame, *, trees: int = 120) -> lightgbm.Booster:
    """A classifier of `late_departure`: at least 15 minutes late away from the gate."""
    return fitted(rows, "late_departure", trees, learning_rate=0.06)


# The same rows give the same trees.
STEADY = {"objective": "binary", "min_data_in_leaf": 100, "deterministic": True, "force_row_wise": True, "num_threads": 2, "seed": 1}


def fitted(rows: pl.DataFrame, label: str, trees: int, **settings: float) -> lightgbm.Booster:
    """So many trees, grown on the rows as the gateway will encode them."""
    grown_on = lightgbm.Dataset(numbers(rows.drop(label)), rows[label].to_numpy())
    return lightgbm.train({**STEADY, "verbose": -1, **settings}, grown_on, num_boost_round=trees)
