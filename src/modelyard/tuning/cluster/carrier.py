"""The process between a worker and Ray: carries trainings to nodes, what they report back, and the models. Nothing else imports Ray.

It is a process of its own for two reasons. Ray unpickles what a cluster answers, so whoever commands the cluster commands whoever asks it:
this process holds no secret. And Ray ends a process whose node is lost: the worker is to outlive that.
"""

import contextlib
import logging
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import msgspec
import ray
from ray.exceptions import RayError

from modelyard.core.clusters import refusal
from modelyard.core.digests import Digest, digest_bytes
from modelyard.core.processes import die_with_parent
from modelyard.tuning.cluster.messages import ANSWER, AWAY, LOST, ORDER, OWN, ROWS, SOURCE, STOPPED, Errand, Order
from modelyard.tuning.cluster.node import Training

NAMESPACE = "modelyard"
READ_S = 0.1
ENDING_S = 5.0
CONNECTING_S = 30.0
AGAIN_S = 0.5
MOST_KEPT = 12


class Shelf:
    """What lies in the cluster's object store: what several trainings are given is put there once. Beyond twelve, the oldest is let go."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[Digest, ray.ObjectRef[bytes]] = {}

    def put(self, path: Path) -> "ray.ObjectRef[bytes]":
        """The content of the file, in the store."""
        content = path.read_bytes()
        digest = digest_bytes(content)
        with self._lock:
            found = self._kept.pop(digest, None)
            self._kept[digest] = ray.put(content) if found is None else found
            if len(self._kept) > MOST_KEPT:
                del self._kept[next(iter(self._kept))]
            return self._kept[digest]


def main() -> int:
    """Connects to the cluster at the first argument, for as long as the second says, and does what the lines on standard input ask."""
    die_with_parent(os.environ)
    address, patience_s = sys.argv[1], float(sys.argv[2])
    away = _connected(address, patience_s)
    if away:
        Path(AWAY).write_text(away)
        return 1
    shelf, ends, threads = Shelf(), dict[str, threading.Event](), list[threading.Thread]()
    for line in sys.stdin:
        errand = msgspec.json.decode(line, type=Errand)
        if not errand.is_wanted:
            ends.pop(errand.folder).set()
            continue
        end = ends[errand.folder] = threading.Event()
        threads = [one for one in threads if one.is_alive()]
        threads.append(threading.Thread(target=_carried, args=(Path(errand.folder), shelf, end)))
        threads[-1].start()
    for end in ends.values():
        end.set()
    for thread in threads:
        thread.join()
    ray.shutdown()
    return 0


def _connected(address: str, patience_s: float) -> str:
    """Connects; why that did not succeed, else nothing. A cluster that does not answer yet is asked again, as long as patience lasts."""
    # Where a cluster's port answers and the cluster does not, Ray itself would try for many minutes.
    hanging = threading.Timer(patience_s + CONNECTING_S, lambda: os._exit(2))
    hanging.start()
    until = time.monotonic() + patience_s
    try:
        while (away := refusal(address) or _joined(address)) and time.monotonic() < until:
            time.sleep(AGAIN_S)
        return away
    finally:
        hanging.cancel()


def _joined(address: str) -> str:
    try:
        ray.init(address=address, namespace=NAMESPACE, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError, RayError) as error:
        ray.shutdown()
        return str(error)
    return ""


def _carried(folder: Path, shelf: Shelf, end: threading.Event) -> None:
    """Has what lies in the folder trained on a node, and leaves there what came of it."""
    with contextlib.suppress(FileNotFoundError):  # the worker did not wait for it
        try:
            answer = _trained(folder, shelf, end)
        except RayError as error:
            _left(folder / LOST, str(error).encode())
        else:
            _left(folder / (STOPPED if answer is None else ANSWER), answer or b"")


def _trained(folder: Path, shelf: Shelf, end: threading.Event) -> bytes | None:
    """The node's answer; None once it was ended."""
    content = (folder / ORDER).read_bytes()
    order = msgspec.json.decode(content, type=Order)
    nodes = ray.nodes()  # type: ignore[no-untyped-call]  # Ray leaves it untyped
    # A node that is smaller than what training is declared to need still trains, with as many threads; none at all would never.
    largest = max((node["Resources"].get("CPU", 0.0) for node in nodes if node["Alive"]), default=0.0)
    cpus = min(float(order.threads), largest or float(order.threads))
    # Ray repeats nothing by itself: a training that is lost is given out anew, under another number.
    # Its methods are what Ray makes of ours.
    actor: Any = ray.remote(Training).options(num_cpus=cpus, max_restarts=0, max_task_retries=0, max_concurrency=4).remote()
    try:
        answer = actor.train.remote(content, *(shelf.put(folder / name) for name in (ROWS, SOURCE, OWN)))
        position, asked = 0, actor.told.remote(0)
        while not end.wait(READ_S):
            done, _ = ray.wait([answer, asked], num_returns=1, timeout=READ_S)
            if asked in done or answer in done:
                position += _appended(ray.get(asked), order.reports)
                asked = actor.told.remote(position)
            if answer in done:
                while more := _appended(ray.get(asked), order.reports):
                    position += more
                    asked = actor.told.remote(position)
                content = bytes(ray.get(answer))
                ray.wait([actor.end.remote()], timeout=ENDING_S)
                return content
        if position or ray.wait([asked], timeout=0)[0]:  # it runs; one that waits for room has no child yet
            ray.wait([actor.end.remote()], timeout=ENDING_S)
        return None
    finally:
        ray.kill(actor)


def _appended(content: bytes, reports: str) -> int:
    """How many bytes were reported, and are now in the worker's file."""
    if content:
        with Path(reports).open("ab") as stream:
            stream.write(content)
    return len(content)


def _left(path: Path, content: bytes) -> None:
    """Leaves a file that is whole as soon as it is there."""
    partial = path.with_name(f"{path.name}.partial")
    partial.write_bytes(content)
    partial.replace(path)


if __name__ == "__main__":
    sys.exit(main())
