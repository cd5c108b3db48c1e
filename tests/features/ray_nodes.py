"""A Ray cluster of two nodes, in a process of its own: prints its address, loses a node at each line, and ends with its standard input."""

import logging
import sys
from typing import Any

from ray.cluster_utils import Cluster

if __name__ == "__main__":
    logging.disable(logging.WARNING)
    sizes: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 100_000_000}
    cluster = Cluster(initialize_head=True, head_node_args={**sizes, "include_dashboard": False})
    second = cluster.add_node(**sizes)
    sys.stdout.write(f"{cluster.address}\n")
    sys.stdout.flush()
    for _ in sys.stdin:
        cluster.remove_node(second, allow_graceful=False)
        sys.stdout.write("lost\n")
        sys.stdout.flush()
    cluster.shutdown()  # type: ignore[no-untyped-call]  # Ray leaves it untyped
