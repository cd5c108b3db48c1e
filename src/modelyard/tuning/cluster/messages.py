"""What worker, carrier and node tell each other: JSON and files, never objects. Owns their shapes and names."""

from typing import Any

import msgspec

from modelyard.core.digests import Digest
from modelyard.core.errors import ErrorBody

ORDER, ROWS, SOURCE, OWN = "order.json", "rows.parquet", "source.tar", "own.tar"
ANSWER, LOST, STOPPED = "answer.tar", "lost.txt", "stopped"
AWAY, LOG = "away.txt", "ray.log"
RESULT, MODEL = "result.json", "model"
DIFFERS = "cluster_differs"


class Errand(msgspec.Struct, frozen=True, kw_only=True):
    """A line to the carrier: the folder of a trial, which is to be trained from what lies there, or no longer."""

    folder: str
    is_wanted: bool


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What a node is asked to train. `job` is the child's, its paths apart; `modelyard` is the source that the node must run itself.

    `reports` is the file on the worker's machine that the carrier writes what was reported to.
    """

    requirements: str
    python: str
    modelyard: Digest
    job: dict[str, Any]
    threads: int
    timeout_s: float
    reports: str
    higher_is_better: bool


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it on a node: the environment that was trained in, or the error that ended it."""

    environment: Digest | None = None
    error: ErrorBody | None = None
