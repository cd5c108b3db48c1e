"""A Ray cluster of two nodes, in a process of its own: prints its address, loses a node at each line, and ends with its standard input."""

import logging
import sys
from typing import Any

from ray.cluster_utils import Cluster

TRIES = 4


def started() -> tuple[Cluster, Any]:
    """The cluster and its second node. Ray gives a node thirty seconds to start, which on a busy machine may be too few."""
    sizes: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 100_000_000}
    for left in reversed(range(TRIES)):
        cluster = Cluster()
        try:
            cluster.add_node(**sizes, include_dashboard=False)
            return cluster, cluster.add_node(**sizes)
        except Exception:  # Ray raises no other one when time is up
            cluster.shutdown()  # type: ignore[no-untyped-call]  # Ray leaves it untyped
            if not left:
                raise
    raise AssertionError


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    cluster, second = started()
    sys.stdout.write(f"{cluster.address}\n")
    sys.stdout.flush()
    for _ in sys.stdin:
        cluster.remove_node(second, allow_graceful=False)
        sys.stdout.write("lost\n")
        sys.stdout.flush()
    cluster.shutdown()  # type: ignore[no-untyped-call]  # Ray leaves it untyped
