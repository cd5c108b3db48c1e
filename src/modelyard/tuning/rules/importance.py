"""Which parameters mattered: PED-ANOVA over the trials of a study. Owns the formula; a few milliseconds for a thousand trials.

Watanabe, Bansal, Hutter: PED-ANOVA, Efficiently Quantifying Hyperparameter Importance in Arbitrary Subspaces, IJCAI 2023. A parameter
mattered where the best trials' values are spread otherwise than all trials' values are.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from modelyard.delivery.search_space import Choice, Domain, Integers, LogUniform, Uniform, Value

FEWEST_TRIALS = 10
TOP = 0.1
CELLS = 50
SCOTT, IQR_OF_NORMAL = 1.059, 1.34
LEAST_WIDTH = 0.5 / 1.64
"""Of a kernel in cells: nine tenths of it lie in its own cell."""
TINY = 1e-12
Floats = npt.NDArray[np.float64]


def importances(
    domains: Mapping[str, Domain], trials: Sequence[tuple[Mapping[str, Value], float]], *, higher_is_better: bool
) -> dict[str, float]:
    """The share of each parameter in what separates the best tenth of the trials from all of them, the most important first.

    `trials` are the parameters and the value of those that completed. Shares add up to 1; empty with fewer than ten trials.
    """
    if len(trials) < FEWEST_TRIALS:
        return {}
    losses = np.array([-value if higher_is_better else value for _, value in trials])
    limit = np.partition(losses, math.ceil(TOP * len(trials)) - 1)[math.ceil(TOP * len(trials)) - 1]
    found = {}
    for name, domain in domains.items():
        places, cells = _places(domain, [parameters[name] for parameters, _ in trials])
        top, everywhere = (_density(domain, some, cells) for some in (places[losses <= limit], places))
        found[name] = float(everywhere @ (top / everywhere - 1) ** 2)
    total = sum(found.values())
    shares = {name: value / total if total > 0 else 1 / len(found) for name, value in found.items()}
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def _places(domain: Domain, values: Sequence[Value]) -> tuple[npt.NDArray[np.int64], int]:
    """The cell of each value, and how many there are: the options, or steps along the domain's own scale."""
    if isinstance(domain, Choice):
        return np.array([domain.options.index(value) for value in values]), len(domain.options)
    cells = CELLS
    match domain:
        case Integers(log=True):
            cells = min(math.ceil(math.log2(domain.high - domain.low + 1)) + 1, CELLS)
        case Uniform(step=float(step)) | Integers(step=step):
            cells = min(math.floor((domain.high - domain.low) / step + 1e-6) + 1, CELLS)
    low, high = scaled(domain, domain.low), scaled(domain, domain.high)
    size = (high - low) / (cells - 1)
    places = np.ceil((np.array([scaled(domain, value) for value in values]) - low) / size - 0.5)
    return np.clip(places, 0, cells - 1).astype(np.int64), cells


def scaled(domain: Uniform | LogUniform | Integers, value: Value) -> float:
    """A value on the domain's own scale, where equal distances count alike."""
    is_log = isinstance(domain, LogUniform) or (isinstance(domain, Integers) and domain.log)
    return math.log(float(value)) if is_log else float(value)


def _density(domain: Domain, places: npt.NDArray[np.int64], cells: int) -> Floats:
    """How likely each cell is: a kernel around every value, and one over the whole domain that counts as one more."""
    counts = np.bincount(places, minlength=cells)
    seen = np.flatnonzero(counts)
    if isinstance(domain, Choice):
        spread = np.full((seen.size + 1, cells), 1.0 / (seen.size + 1))
        spread[np.arange(seen.size), seen] += 1.0
        kernels = spread / spread.sum(axis=1, keepdims=True)
    else:
        width = _width(np.repeat(seen, counts[seen]).astype(np.float64))
        middles = np.append(seen.astype(np.float64), (cells - 1) / 2)
        widths = np.append(np.full(seen.size, width), float(cells))
        edges = np.arange(cells + 1) - 0.5
        below = _normal((edges[None, :] - middles[:, None]) / widths[:, None])
        kernels = np.diff(below, axis=1) / (below[:, -1:] - below[:, :1])
    weights = np.append(counts[seen], 1.0)
    return np.asarray(weights / weights.sum() @ kernels + TINY, dtype=np.float64)


def _width(places: Floats) -> float:
    """The width of kernels by Scott's rule (Multivariate Density Estimation, 1992), in cells; `places` are sorted."""
    deviation = float(np.std(places, ddof=1)) if places.size > 1 else 0.0
    upper, lower = places[min(3 * places.size // 4, places.size - 1)], places[max(places.size // 4 - 1, 0)]
    narrow = min(float(upper - lower) / IQR_OF_NORMAL, deviation)
    return max(SCOTT * narrow * math.pow(places.size, -0.2), LEAST_WIDTH)


_normal = np.vectorize(lambda x: 0.5 * (1 + math.erf(x / math.sqrt(2))), otypes=[np.float64])
