"""How a training function tells how it is getting on while it is tuned. Does nothing anywhere else.

What is reported goes into a file of the child's, line by line; the worker reads it and decides whether the trial goes on.
"""

import contextlib
import os
from collections.abc import Iterator
from typing import Any

from modelyard.core.errors import InvalidInput
from modelyard.delivery.search_space import Reports

MOST_STEP = 2**53 - 1


class _Sink:
    """Where reports go at present."""

    descriptor: int | None = None
    higher_is_better: bool = True


def report(step: int, value: float) -> None:
    """Reports how good the model is at `step`, such as an epoch, in the direction of the study's metric; the last value of a step counts.

    In a trial of `yard tune` the curve is kept with its run, and a trial that does worse at a step than half of the others did is
    stopped. Elsewhere it does nothing, so that one training function serves both. Measure on rows that the function set aside itself.

    >>> report(0, 0.71)
    """
    if _Sink.descriptor is None:
        return
    whole, number = int(step), float(value)
    if not 0 <= whole <= MOST_STEP:
        raise InvalidInput(f"report takes steps from 0 on, got {step}", hint="report(epoch, score)")
    # One write a line: what is killed leaves no half of one that could be taken for a whole.
    os.write(_Sink.descriptor, f"{whole} {number!r}\n".encode())


def report_iteration(env: Any) -> None:
    """A callback for LightGBM that reports each iteration: the first evaluation that is better in the direction of the study's metric.

    `lgb.train(..., valid_sets=[held_out], callbacks=[report_iteration])`, or `fit(..., eval_set=..., callbacks=[report_iteration])`.
    Outside of a trial it does nothing. Raises InvalidInput where no evaluation goes in that direction.
    """
    if _Sink.descriptor is None or not env.evaluation_result_list:
        return
    for _, _, value, higher_is_better, *_ in env.evaluation_result_list:
        if higher_is_better is _Sink.higher_is_better:
            report(env.iteration, value)
            return
    wanted = "higher" if _Sink.higher_is_better else "lower"
    raise InvalidInput(f"no evaluation of LightGBM's is better the {wanted} it is", hint='evaluate by such a metric, such as metric="auc"')


@contextlib.contextmanager
def reporting(to: Reports | None) -> Iterator[None]:
    """Has reports go to that file while the block runs; nowhere without one."""
    if to is None:
        yield
        return
    _Sink.descriptor, _Sink.higher_is_better = os.open(to.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), to.higher_is_better
    try:
        yield
    finally:
        descriptor, _Sink.descriptor = _Sink.descriptor, None
        os.close(descriptor)
