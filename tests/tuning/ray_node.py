"""A Ray cluster of one node, in a process of its own: prints its address, and ends with its standard input."""

import logging
import sys

import ray

if __name__ == "__main__":
    # Its own, whatever cluster was started on this machine.
    ray.init(
        "local", num_cpus=2, object_store_memory=100_000_000, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR
    )
    sys.stdout.write(f"{ray.get_runtime_context().gcs_address}\n")
    sys.stdout.flush()
    sys.stdin.read()
    ray.shutdown()
