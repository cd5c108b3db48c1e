"""What runs on a node of the cluster: builds the environment there and trains in a child, as a worker does at home.

It speaks no word of Ray: the carrier makes an actor of it.
"""

import io
import os
import shutil
import tarfile
import tempfile
import threading
import time
from pathlib import Path

import msgspec

from modelyard.core.digests import digest_bytes
from modelyard.core.errors import ErrorBody, ModelyardError
from modelyard.delivery.children import ChildLimits, ran
from modelyard.delivery.environments import Build, child_words, installed_environment
from modelyard.delivery.search_space import Reports
from modelyard.delivery.sources import own_package, unpack_source
from modelyard.tuning.cluster.messages import DIFFERS, MODEL, RESULT, Order, Result

FORGOTTEN_S = 60.0
MOST_TOLD = 1 << 20


class Ended(Exception):
    """No error: nobody waits for the training any more."""


class Training:
    """One training on this node. While `train` runs, other threads ask what it reported, or end it.

    One that nobody has asked about for a minute ends by itself: its carrier is gone, or cannot be reached.
    """

    def __init__(self, scratch: Path | None = None) -> None:
        """`scratch` is a folder of its own; one among the machine's temporary files unless given."""
        self._scratch = scratch or Path(tempfile.mkdtemp(prefix="modelyard-trial-"))
        self._scratch.mkdir(exist_ok=True)
        self._reports = self._scratch / "reports"
        self._is_ended = threading.Event()
        self._is_training = threading.Lock()
        self._asked_at = time.monotonic()

    def told(self, position: int) -> bytes:
        """What was reported from that byte on, a mebibyte at most."""
        self._asked_at = time.monotonic()
        if not self._reports.exists():
            return b""
        with self._reports.open("rb") as stream:
            stream.seek(position)
            return stream.read(MOST_TOLD)

    def end(self) -> None:
        """Has `train` kill its child and return, and removes what was reported."""
        self._is_ended.set()
        with self._is_training:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def train(self, order: bytes, rows: bytes, source: bytes, own: bytes) -> bytes:
        """The result and the trained model, as an archive."""
        with self._is_training, tempfile.TemporaryDirectory(prefix="work-", dir=self._scratch) as folder:
            try:
                result = self._trained(msgspec.json.decode(order, type=Order), Path(folder), (rows, source, own))
            except Ended:
                result = Result(error=ErrorBody(code="ended", message="nobody waits for it any more"))
            except ModelyardError as error:
                result = Result(error=error.body())
            return _archive(result, Path(folder, MODEL))

    def _trained(self, order: Order, folder: Path, content: tuple[bytes, bytes, bytes]) -> Result:
        rows, source, own = content
        if digest_bytes(own_package()) != order.modelyard:
            said = f"the node {os.uname().nodename} runs another Modelyard than the worker"
            return Result(error=ErrorBody(code=DIFFERS, message=said))
        unpack_source(source, folder / "source")
        (folder / "rows.parquet").write_bytes(rows)
        build = Build(root=_cache(), beat=self._beat, python=order.python)
        environment = installed_environment(build, order.requirements.encode(), own)
        paths = {
            "rows": str(folder / "rows.parquet"),
            "folder": str(folder / MODEL),
            "reports": Reports(path=str(self._reports), higher_is_better=order.higher_is_better),
        }
        limits = ChildLimits(timeout_s=order.timeout_s, beat=self._beat)
        ran(environment.interpreter, child_words(environment, order.threads), order.job | paths, folder / "source", limits)
        return Result(environment=environment.digest)

    def _beat(self) -> None:
        if self._is_ended.is_set() or time.monotonic() - self._asked_at > FORGOTTEN_S:
            raise Ended


def _cache() -> Path:
    """Where this node keeps the environments that it has built."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "modelyard" / "environments"


def _archive(result: Result, model: Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        content = msgspec.json.encode(result)
        entry = tarfile.TarInfo(RESULT)
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
        if result.error is None:
            archive.add(model, arcname=MODEL)
    return buffer.getvalue()
