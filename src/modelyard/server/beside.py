"""Long work beside the worker's loop: in a thread of its own, one call at a time. Owns the thread."""

import logging
import threading
from collections.abc import Callable

LOG = logging.getLogger("modelyard.worker")


class Beside:
    """Does something again and again without holding up who asks for it. What runs when the process ends is cut off."""

    def __init__(self, name: str, work: Callable[[], object]) -> None:
        self._name, self._work = name, work
        self._thread: threading.Thread | None = None

    def turn(self) -> bool:
        """Begins the work unless it still runs; never says that there was anything to do."""
        if self._thread is None or not self._thread.is_alive():
            # Nobody waits for it: it must bear to be killed anyway.
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        return False

    def _run(self) -> None:
        try:
            self._work()
        except Exception:  # the worker loop
            LOG.exception("%s failed and is tried again", self._name)
