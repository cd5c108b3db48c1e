"""A gigabyte through MLflow's own client: logged in one stream and in parts, registered, brought back by the version's name.

    python soak/artifacts.py --seed 1 --seconds 60 [--mebibytes 1024]

Holds: what comes back is what was logged, and the server never holds more than a part of it in memory.
"""

import argparse
import hashlib
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mlflow
import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.live import Live

MEBIBYTE = 2**20
LOOK_S = 0.05
MOST_MEBIBYTES = 512
PARTS = "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD"


def filled(path: Path, mebibytes: int, random: np.random.Generator) -> str:
    """The digest of a new file of random bytes."""
    digest = hashlib.sha256()
    with path.open("wb") as stream:
        for _ in range(mebibytes):
            piece = random.bytes(MEBIBYTE)
            digest.update(piece)
            stream.write(piece)
    return digest.hexdigest()


@contextmanager
def watched(process: psutil.Process) -> Iterator[list[int]]:
    """The resident memory of a process while the block runs, in MiB, looked at twenty times a second."""
    seen, stop = [process.memory_info().rss // MEBIBYTE], threading.Event()

    def look() -> None:
        while not stop.wait(LOOK_S):
            seen.append(process.memory_info().rss // MEBIBYTE)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()


def brought_through(folder: Path, name: str, mebibytes: int, random: np.random.Generator) -> tuple[float, float]:
    """Seconds that a file of so many MiB took to be logged and to come back as it was."""
    big, back = folder / "big.bin", folder / "back"
    digest = filled(big, mebibytes, random)
    with mlflow.start_run() as run:
        mlflow.log_text("flavors: {}", "model/MLmodel")
        started = time.monotonic()
        mlflow.log_artifact(str(big), "model")
        up_s = time.monotonic() - started
    big.unlink()
    mlflow.register_model(f"runs:/{run.info.run_id}/model", name)
    started = time.monotonic()
    found = next(Path(mlflow.artifacts.download_artifacts(f"models:/{name}/1", dst_path=str(back))).rglob("big.bin"))
    down_s = time.monotonic() - started
    with found.open("rb") as stream:
        assert hashlib.file_digest(stream, "sha256").hexdigest() == digest, "what came back is something else"
    shutil.rmtree(back)
    return up_s, down_s


def main() -> None:
    """Brings files through until the time is over, each way once at least."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--mebibytes", type=int, default=1024)
    given = parser.parse_args()
    random, until, turn = np.random.default_rng(given.seed), time.monotonic() + given.seconds, 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = Live(folder)
        made.start("server")
        try:
            os.environ |= {"MLFLOW_TRACKING_TOKEN": made.token, "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"}
            mlflow.set_tracking_uri(made.url)
            with watched(psutil.Process(made.process("server"))) as seen:
                while turn < 2 or time.monotonic() < until:
                    os.environ[PARTS] = "true" if turn % 2 else "false"
                    up_s, down_s = brought_through(folder, f"big-{turn}", given.mebibytes, random)
                    way = "in parts" if turn % 2 else "in one stream"
                    took = f"up {up_s:.1f} s, down {down_s:.1f} s; the server held {max(seen)} MiB at most"
                    sys.stdout.write(f"{given.mebibytes} MiB {way}: {took}\n")
                    assert max(seen) < MOST_MEBIBYTES, "the server keeps what goes through it"
                    turn += 1
        finally:
            made.close()


if __name__ == "__main__":
    main()
