"""Importances against Optuna's own implementation of the same paper, over studies in which it is known what matters."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import optuna
import pytest

from modelyard import choice, integers, loguniform, uniform
from modelyard.delivery.search_space import Domain
from modelyard.tuning.rules.importance import importances
from modelyard.tuning.sampling.proposals import suggested

SPACE: dict[str, Domain] = {
    "rate": loguniform(1e-4, 1.0),
    "share": uniform(0.0, 1.0),
    "depth": integers(1, 12),
    "leaves": integers(2, 512, log=True),
    "step": uniform(0.0, 1.0, step=0.25),
    "kind": choice("a", "b", "c"),
}
OF_RATE: Callable[[dict[str, Any]], float] = lambda found: abs(math.log10(found["rate"]) + 2)  # noqa: E731 - a table of objectives
OF_KIND: Callable[[dict[str, Any]], float] = lambda found: float(found["kind"] != "b")  # noqa: E731
OF_DEPTH: Callable[[dict[str, Any]], float] = lambda found: (found["depth"] - 9) ** 2 + found["rate"]  # noqa: E731


@pytest.mark.parametrize(
    ("objective", "matters", "higher_is_better"), [(OF_RATE, "rate", False), (OF_KIND, "kind", True), (OF_DEPTH, "depth", False)]
)
def test_they_are_optunas(objective: Callable[[dict[str, Any]], float], matters: str, higher_is_better: bool) -> None:
    sign = -1.0 if higher_is_better else 1.0
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=3), direction="maximize" if higher_is_better else "minimize")
    study.optimize(lambda trial: sign * objective({name: suggested(trial, name, domain) for name, domain in SPACE.items()}), n_trials=120)
    found = importances(SPACE, [(one.params, float(one.values[0])) for one in study.trials], higher_is_better=higher_is_better)
    theirs = optuna.importance.get_param_importances(study)
    assert next(iter(found)) == matters
    assert sum(found.values()) == pytest.approx(1)
    assert {name: round(found[name], 12) for name in SPACE} == pytest.approx({name: theirs[name] for name in SPACE}, abs=0.02)


def test_too_few_trials_say_nothing_and_equal_ones_say_it_evenly() -> None:
    random = np.random.default_rng(1)
    trials = [({"share": float(random.random())}, 1.0) for _ in range(12)]
    assert importances({"share": SPACE["share"]}, trials[:9], higher_is_better=True) == {}
    assert importances({"share": SPACE["share"]}, trials, higher_is_better=True) == {"share": 1.0}
