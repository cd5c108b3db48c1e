"""Where a trial's training runs: what every place is given and asks, and the place that is this machine.

Owns no trial. What is trained, and what becomes of it, is `trying`'s business; clusters are `cluster`'s.
"""

from pathlib import Path
from typing import Protocol

import msgspec

from modelyard.core.digests import Digest
from modelyard.delivery.children import ChildLimits
from modelyard.delivery.environments import Build, built_environment
from modelyard.delivery.training import TRAIN_TIMEOUT_S, Lesson, trained


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be trained: the project's source, as an archive and unpacked in `folder`, Modelyard's own as an archive, and the lesson.

    The file of the lesson's reports is one of this machine's, wherever the training runs.
    """

    source: bytes
    folder: Path
    own: bytes
    lesson: Lesson


class Watch(Protocol):
    """Whoever waits for a training. What `beat` and `look` raise ends it, and comes through."""

    def began(self, environment: Digest) -> None:
        """Is told of the environment once, before the training begins."""

    def beat(self) -> None:
        """Is called again and again while the environment comes to be."""

    def look(self) -> None:
        """Is called again and again while the training runs, and reads what it reports."""


class Place(Protocol):
    """Somewhere that trainings run. Several threads train there at once."""

    def train(self, work: Work, model: Path, watch: Watch) -> None:
        """Trains, and leaves the model in the folder `model`; when it returns or raises nothing of the training runs any more.

        Raises TrainingFailed, EnvironmentFailed, what `watch` raises, and errors of kind UNREACHABLE where it was the place that failed.
        """

    def close(self) -> None:
        """Ends what the place needed."""


class Here:
    """This machine: the training is a child of this process."""

    def __init__(self, environments: Path) -> None:
        self._environments = environments

    def train(self, work: Work, model: Path, watch: Watch) -> None:
        """As `Place` has it."""
        environment = built_environment(Build(root=self._environments, beat=watch.beat), work.folder, work.own)
        watch.began(environment.digest)
        trained(environment, work.folder, work.lesson, model, ChildLimits(timeout_s=TRAIN_TIMEOUT_S, beat=watch.look))

    def close(self) -> None:
        """Nothing is left open."""
