"""The process between a join and Ray: takes tasks to the cluster and brings answers, as files. Nothing else of the features imports Ray.

Ray unpickles what a cluster answers, and ends a process whose node is lost: neither is to happen to who asks (docs/adr/0011).
A task that goes down with its node is Ray's to repeat, on another one.
"""

import logging
import os
import sys
import threading
from pathlib import Path
from typing import Any

import msgspec
import ray
from ray.exceptions import RayError

from modelyard.core.clusters import refusal
from modelyard.core.processes import die_with_parent
from modelyard.features.stored.messages import Ready, Told, answer_file, task_file
from modelyard.features.stored.wire import answered

TRIES = 4
CONNECTING_S = 60.0


def main() -> int:
    """Connects to the cluster at the first argument, and has answered what the numbers on standard input name, in their order."""
    die_with_parent(os.environ)
    away = _joined(sys.argv[1])
    if away:
        _say(Ready(away=away))
        return 1
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]  # Ray leaves it untyped
    _say(Ready(cpus=max(int(resources.get("CPU", 1)), 1)))
    asked: list[tuple[int, Any]] = []
    work = ray.remote(num_cpus=1, max_retries=TRIES)(answered)
    more = threading.Condition()
    threading.Thread(target=_brought, args=(asked, more), daemon=True).start()
    for line in sys.stdin:
        number = int(line)
        reference = work.remote(Path(task_file(number)).read_bytes())
        with more:
            asked.append((number, reference))
            more.notify()
    ray.shutdown()
    return 0


def _brought(asked: list[tuple[int, Any]], more: threading.Condition) -> None:
    """Brings the answers, the oldest first."""
    while True:
        with more:
            more.wait_for(lambda: asked)
            number, reference = asked.pop(0)
        try:
            made = Path(f"{answer_file(number)}.made")
            made.write_bytes(ray.get(reference))
            made.rename(answer_file(number))
            _say(Told(number=number))
        except (RayError, Exception) as error:  # noqa: BLE001 - whatever a node raised is told
            _say(Told(number=number, error=str(error).strip()[-1500:] or type(error).__name__))


def _say(message: Ready | Told) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(message) + b"\n")
    sys.stdout.buffer.flush()


def _joined(address: str) -> str:
    """Connects; why that did not succeed, else nothing."""
    # Where a port answers and the cluster does not, Ray itself would try for many minutes.
    hanging = threading.Timer(CONNECTING_S, lambda: os._exit(2))
    hanging.start()
    try:
        away = refusal(address)
        if not away:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError, RayError) as error:
        return str(error)
    else:
        return away
    finally:
        hanging.cancel()


if __name__ == "__main__":
    sys.exit(main())
