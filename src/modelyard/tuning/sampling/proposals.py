"""What a trial is given, and whether it is worth going on with: Optuna's samplers and pruners, asked for one trial at a time.

A proposal depends on the study's seed, the trial's place and what has ended before it, and on no process: a study with one trial
at a time comes out the same wherever it runs, and however often its workers are killed.
"""

import hashlib
import math
from collections.abc import Mapping
from typing import cast

import optuna

from modelyard.delivery.search_space import Choice, Domain, Integers, LogUniform, Uniform, Value
from modelyard.tuning.domain import HeldTrial
from modelyard.tuning.sampling.storage import DatabaseStorage

AT_RANDOM = 10
"""How many trials begin before the sampler goes by what has been found."""
UNPRUNED = 5
"""How many trials complete before one is stopped for doing worse than they did."""

optuna.logging.set_verbosity(optuna.logging.WARNING)


class Proposal:
    """A trial that Optuna knows of, with the parameters that it was given."""

    def __init__(self, storage: DatabaseStorage, held: HeldTrial) -> None:
        sampler = optuna.samplers.TPESampler(seed=seed_of(held.study.seed, held.place), n_startup_trials=AT_RANDOM)
        # What is reported at step 0 is no course yet.
        self._pruner = optuna.pruners.MedianPruner(n_startup_trials=UNPRUNED, n_warmup_steps=1)
        self._storage, self._id = storage, held.id
        self._study = optuna.load_study(study_name=held.study.id, storage=storage, sampler=sampler, pruner=self._pruner)
        trial = optuna.Trial(self._study, held.id)
        self.parameters: Mapping[str, Value] = {name: suggested(trial, name, domain) for name, domain in held.study.space.domains.items()}

    def is_hopeless(self) -> bool:
        """Whether the last value reported is worse than the median of what those that completed had reported best by then."""
        # Optuna's own trial knows what was reported through it; ours goes by what is kept.
        return self._pruner.prune(self._study, self._storage.get_trial(self._id))


def seed_of(seed: int, place: int) -> int:
    """The seed of one trial's sampler.

    >>> seed_of(0, 0) == seed_of(0, 0) != seed_of(0, 1)
    True
    """
    return int.from_bytes(hashlib.sha256(f"{seed}/{place}".encode()).digest()[:4], "big")


def suggested(trial: optuna.Trial, name: str, domain: Domain) -> Value:
    """A value of the domain, by the trial's sampler."""
    match domain:
        case Uniform(low=low, high=high, step=None):
            return trial.suggest_float(name, low, high)
        case Uniform(low=low, high=high, step=float(step)):
            # Optuna wants the high end to be a step, too.
            return trial.suggest_float(name, low, low + math.floor((high - low) / step + 1e-6) * step, step=step)
        case LogUniform(low=low, high=high):
            return trial.suggest_float(name, low, high, log=True)
        case Integers(low=low, high=high, step=step, log=log):
            return trial.suggest_int(name, low, low + (high - low) // step * step, step=step, log=log)
        case Choice(options=options):
            return cast("Value", trial.suggest_categorical(name, options))  # one of them
        case _:
            raise TypeError(f"{domain!r} is no domain")
