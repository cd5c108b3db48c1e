"""A run's record in the making: collected beside the training, written again with each dataset. Owns the thread."""

import threading
from collections.abc import Callable

import msgspec

from modelyard.core.errors import ModelyardError
from modelyard.sdk.tracking.record import RECORD, Origin, RunRecord, UsedDataset, collected, encoded
from modelyard.sdk.tracking.sending import LOG

PutFile = Callable[[str, bytes], None]
PutTags = Callable[[dict[str, str]], None]


class Recording:
    """The record of a run: made once in a thread, written again with each dataset."""

    def __init__(self, origin: Origin, seeds: dict[str, int], tolerance: float) -> None:
        self.origin = origin
        self._seeds, self._tolerance = seeds, tolerance
        self._lock = threading.Lock()
        self._record: RunRecord | None = None
        self._datasets: list[UsedDataset] = []
        self._thread = threading.Thread(target=self._collect, name="modelyard-record", daemon=True)

    def begin(self, put_file: PutFile, put_tags: PutTags) -> None:
        """Collects in a thread, and hands on what it finds."""
        self._put_file, self._put_tags = put_file, put_tags
        self._thread.start()

    def add(self, dataset: UsedDataset) -> None:
        """Notes a dataset in the record."""
        with self._lock:
            self._datasets.append(dataset)
            self._write()

    def join(self, wait_s: float) -> None:
        """Returns once all is handed on, or warns that it took too long."""
        self._thread.join(wait_s)
        if self._thread.is_alive():
            LOG.warning("the record of the run is not complete: collecting it took more than %d s", wait_s)

    def _collect(self) -> None:
        try:
            found = collected(self.origin, self._seeds, self._tolerance)
            for path, content in found.files.items():
                self._put_file(path, content)
            self._put_tags(found.tags)
            with self._lock:
                self._record = found.record
                self._write()
        except (OSError, ValueError, ModelyardError) as error:
            LOG.warning("the record of the run is not complete: %s", error)

    def _write(self) -> None:
        if self._record is not None:
            self._put_file(RECORD, encoded(msgspec.structs.replace(self._record, datasets=tuple(self._datasets))))
