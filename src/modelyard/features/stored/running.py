"""Where buckets are answered: in threads of this process, or in processes of their own.

Owns the order of answers and how many run at once.
"""

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from itertools import islice
from typing import Literal, TypeVar

from modelyard.core.processes import PARENT, die_with_parent

Compute = Literal["threads", "processes", "ray"]
"""`ray` is not begun here: its answers come over `cluster.py`."""
Task = TypeVar("Task")
Answer = TypeVar("Answer")


def answered_by(work: Callable[[Task], Answer], tasks: Iterable[Task], compute: Compute, workers: int) -> Iterator[Answer]:
    """What `work` makes of each task, in their order. No more tasks wait than keep `workers` busy, so memory is bounded.

    Processes begin anew and are given tasks and give answers as pickled bytes of our own; they end with this process.
    """
    with _executor(compute, workers) as executor:
        waiting: list[Future[Answer]] = []
        left = iter(tasks)
        try:
            waiting += [executor.submit(work, task) for task in islice(left, workers + 1)]
            while waiting:
                yield waiting.pop(0).result()
                waiting += [executor.submit(work, task) for task in islice(left, 1)]
        finally:
            for one in waiting:
                one.cancel()


def _executor(compute: Compute, workers: int) -> Executor:
    if compute == "threads":
        return ThreadPoolExecutor(workers, thread_name_prefix="buckets")
    # A fork would take along locks that Polars' threads hold.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, mp_context=context, initializer=die_with_parent, initargs=({PARENT: str(os.getpid())},))


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
