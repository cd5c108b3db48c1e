"""A hard limit on the memory of a command, where this machine's control groups can be written: what passes it is killed."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")


@contextlib.contextmanager
def limited(gib: float | None) -> Iterator[list[str]]:
    """The words to put before a command so that it runs within `gib`; none where no limit is asked for or none can be set."""
    is_first_version = (ROOT / "memory").is_dir()
    group = (ROOT / "memory" if is_first_version else ROOT) / f"modelyard-bench-{os.getpid()}"
    if gib is None or not os.access(group.parent, os.W_OK):
        yield []
        return
    group.mkdir(exist_ok=True)
    try:
        (group / ("memory.limit_in_bytes" if is_first_version else "memory.max")).write_text(str(int(gib * 2**30)))
        yield ["sh", "-c", f'echo $$ > {group}/cgroup.procs; exec "$@"', "sh"]
    finally:
        group.rmdir()
