"""How long the training waits for its tracking, and how fast a spool reaches the disk. `python bench/sdk.py` prints JSON.

Times are those of the calling thread, while the run's own threads write, sync and measure beside it. On a machine that others use, too,
the wall's times hold their share: then the processor's time and the median say more.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import modelyard

BURST, SPACED = 100_000, 5_000
ROUNDS = 5
IMPORTS = 5


def run_in(folder: str) -> modelyard.Run:
    """A run that is logged to a folder without a server, without the record of its source."""
    return modelyard.start(folder=folder, quiet=True, record=False)


def burst_us(run: modelyard.Run) -> tuple[float, float]:
    """Microseconds a call, one after the other without a pause, while the spool is written: by the wall, and of the processor."""
    started, started_cpu = time.perf_counter(), time.thread_time()
    for step in range(BURST):
        run.log({"loss": 0.25}, step=step)
    return 1e6 * (time.perf_counter() - started) / BURST, 1e6 * (time.thread_time() - started_cpu) / BURST


def spaced_us(run: modelyard.Run) -> list[float]:
    """Microseconds of each call, where the training does something else in between."""
    found = []
    for step in range(SPACED):
        started = time.perf_counter_ns()
        run.log({"loss": 0.25}, step=step)
        found.append((time.perf_counter_ns() - started) / 1000)
        if step % 50 == 0:
            time.sleep(0.005)
    return sorted(found)


def flush_ms(run: modelyard.Run) -> float:
    """Milliseconds until one value is acknowledged: packed, written and synced."""
    started = time.perf_counter()
    run.log({"loss": 0.25})
    run.flush()
    return 1e3 * (time.perf_counter() - started)


def import_s() -> float:
    """Seconds that `import modelyard` takes in a new process, the interpreter's own start left out."""
    code = "import time; t = time.perf_counter(); import modelyard; print(time.perf_counter() - t)"
    return min(float(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout) for _ in range(IMPORTS))


def measured(folder: str) -> dict[str, float]:
    """The figures, by name."""
    started = time.perf_counter()
    run = run_in(folder)
    start_s = time.perf_counter() - started
    bursts = [burst_us(run) for _ in range(ROUNDS)]
    spaced = spaced_us(run)
    flushes = [flush_ms(run) for _ in range(50)]
    started = time.perf_counter()
    run.finish()
    return {
        "log_us_in_a_burst_median": statistics.median(wall for wall, _ in bursts),
        "log_us_in_a_burst_best": min(wall for wall, _ in bursts),
        "log_us_in_a_burst_of_processor": statistics.median(cpu for _, cpu in bursts),
        "log_us_spaced_mean": statistics.mean(spaced),
        "log_us_spaced_median": spaced[len(spaced) // 2],
        "log_us_spaced_p99": spaced[len(spaced) * 99 // 100],
        "acknowledged_after_ms_median": statistics.median(flushes),
        "start_s": start_s,
        "finish_s": time.perf_counter() - started,
        "spool_bytes_a_point": sum(path.stat().st_size for path in Path(folder).rglob("*.frames")) / (ROUNDS * BURST + SPACED + 50),
        "import_s": import_s(),
    }


def main() -> None:
    """Measures and prints."""
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps({name: round(value, 4) for name, value in measured(folder).items()}, indent=1))


if __name__ == "__main__":
    main()
