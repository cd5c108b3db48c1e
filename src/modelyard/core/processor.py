"""Which family of processors this machine's belongs to: the same sums in floating point are expected within one alone."""

import contextlib
import platform
from pathlib import Path

CPU_FACTS = Path("/proc/cpuinfo")


def processor() -> str:
    """The family: the machine's architecture, and maker and model as the kernel tells them."""
    told: dict[str, str] = {}
    with contextlib.suppress(OSError):
        lines = CPU_FACTS.read_text("utf-8", "replace").split("\n\n", 1)[0].splitlines()
        told = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    words = [told[name] for name in ("vendor_id", "cpu family", "model", "CPU implementer", "CPU part") if name in told]
    return " ".join([platform.machine(), *words])
