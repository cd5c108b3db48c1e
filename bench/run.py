"""Runs every benchmark, one after the other, with the peers that are installed, and writes `bench/results.json`.

    python bench/run.py [--only ledger,features] [--out bench/results.json] [--feast PYTHON]

`--feast` names the interpreter of an environment with Feast, which answers beside the feature store then.

Figures of one machine say little elsewhere; the ratios to the peers of the same run say more. The file names the machine,
its load before each benchmark, the versions of the peers and the commands.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Json = dict[str, Any]
FOLDER = Path(__file__).resolve().parent
BENCHES: Mapping[str, tuple[str, ...]] = {
    "ledger": (),
    "tracking": ("--postgresql", "--peers"),
    "sdk": (),
    "pages": (),
    "features": ("--peers", "--sizes", "1m,10m"),
    "features_large": ("--peers", "--sizes", "50m", "--only", "ingest_history,join_from_history,join_from_files,duckdb_asof"),
    "windows": ("--size", "10m"),
    "online": (),
    "serving": ("--peers", "--out", "OUT"),
    "monitoring": ("--quick",),
    "formats": (),
}
MODULES = {"features_large": "features"}
"""Where a benchmark is not a module of its own name."""
WITH_FEAST = ("features", "online")
PEERS = ("mlflow", "duckdb", "polars", "scikit-learn")
TIMEOUT_S = 1800


def machine() -> Json:
    """What the figures were measured on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cores": os.cpu_count(),
        "memory_gib": round(memory / 2**30, 1),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "peers": {name: version for name in PEERS if (version := installed(name))},
    }


def installed(name: str) -> str:
    """The version of a distribution, empty where it is not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def measured(name: str, words: tuple[str, ...]) -> Json:
    """One benchmark in a process of its own: what it printed, how long it took, the load before it, or why it failed."""
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch, "figures.json")
        module = f"{MODULES.get(name, name)}.py"
        command = [sys.executable, str(FOLDER / module), *(str(out) if word == "OUT" else word for word in words)]
        load, started = os.getloadavg()[0], time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT_S)
        told = {"command": f"python bench/{module} {' '.join(words)}".strip(), "load_before": round(load, 2)}
        told["seconds"] = str(round(time.monotonic() - started, 1))
        if done.returncode != 0:
            return told | {"failed": done.stderr[-2000:]}
        return told | {"figures": json.loads(out.read_text() if out.exists() else done.stdout)}


def main() -> int:
    """Measures all, writes the file, and fails where a benchmark did."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(BENCHES))
    parser.add_argument("--out", type=Path, default=FOLDER / "results.json")
    parser.add_argument("--feast")
    given = parser.parse_args()
    found: Json = {"machine": machine(), "started_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "benchmarks": {}}
    for name in given.only.split(","):
        print(f"{name} ...", end=" ", flush=True)
        more = ("--feast", given.feast) if given.feast and name in WITH_FEAST else ()
        found["benchmarks"][name] = one = measured(name, BENCHES[name] + more)
        print("failed" if "failed" in one else f"{one['seconds']} s", flush=True)
        given.out.write_text(json.dumps(found, indent=1) + "\n")
    print(f"written to {given.out}")
    broken = [name for name, one in found["benchmarks"].items() if "failed" in one]
    for name in broken:
        print(f"{name} failed:\n{found['benchmarks'][name]['failed']}", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
