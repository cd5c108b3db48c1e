"""Measurements of the machine: under MLflow's names, of GPUs where there are any, until the run ends."""

import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from modelyard.core.errors import InvalidInput
from modelyard.sdk.tracking.system import SystemMetrics
from tests.sdk.conftest import Tracked
from tests.serving.world import until

MACHINE = {
    "cpu_utilization_percentage",
    "system_memory_usage_megabytes",
    "system_memory_usage_percentage",
    "disk_usage_percentage",
    "disk_usage_megabytes",
    "disk_available_megabytes",
}


class Nvml:
    """NVIDIA's library on a machine with two GPUs, of which the second tells nothing but its memory."""

    class NVMLError(Exception):
        """What it raises for what a GPU does not know."""

    def nvmlInit(self) -> None:  # noqa: N802 - the library's name
        """Opens it."""

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802 - the library's name
        return 2

    def nvmlDeviceGetHandleByIndex(self, number: int) -> int:  # noqa: N802 - the library's name
        return number

    def __getattr__(self, name: str) -> Any:
        answers: dict[str, Any] = {
            "nvmlDeviceGetMemoryInfo": SimpleNamespace(used=2_000_000, total=8_000_000),
            "nvmlDeviceGetUtilizationRates": SimpleNamespace(gpu=50),
            "nvmlDeviceGetPowerUsage": 70_000,
            "nvmlDeviceGetEnforcedPowerLimit": 280_000,
        }

        def asked(handle: int) -> Any:
            if handle == 1 and name != "nvmlDeviceGetMemoryInfo":
                raise self.NVMLError(name)
            return answers[name]

        return asked


def measured(folder: Path, count: int) -> list[tuple[int, dict[str, float]]]:
    """The first measurements of the machine."""
    found: list[tuple[int, dict[str, float]]] = []
    enough = threading.Event()

    def put(step: int, values: dict[str, float]) -> None:
        found.append((step, values))
        if len(found) == count:
            enough.set()

    metrics = SystemMetrics(put, folder, 0.01)
    metrics.start()
    assert enough.wait(30)
    metrics.stop()
    assert not metrics.is_alive()
    return found[:count]


def test_the_machine_is_measured_again_and_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    found = measured(tmp_path, 3)
    assert [step for step, _ in found] == [0, 1, 2]
    names = {name.removeprefix("system/") for name in found[0][1]}
    assert names >= MACHINE
    assert not [name for name in names if name.startswith("gpu")]
    assert 0 < found[0][1]["system/system_memory_usage_percentage"] < 100


def test_gpus_are_measured_as_far_as_they_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", Nvml())
    (_, values), *_ = measured(tmp_path, 1)
    gpus = {name.removeprefix("system/gpu_"): value for name, value in values.items() if "gpu" in name}
    assert gpus == {
        "0_memory_usage_megabytes": 2.0,
        "0_memory_usage_percentage": 25.0,
        "0_utilization_percentage": 50.0,
        "0_power_usage_watts": 70.0,
        "0_power_usage_percentage": 25.0,
        "1_memory_usage_megabytes": 2.0,
        "1_memory_usage_percentage": 25.0,
    }


def test_a_run_has_what_its_interval_measures_and_no_argument_is_nonsense(tracked: Tracked) -> None:
    with tracked.start(system_metrics=0.02) as run:
        until(lambda: tracked.has(run.id, "system/cpu_utilization_percentage"))
    assert run.summary == {}
    for wrong in ({"system_metrics": -1}, {"tolerance": 2}, {"resume": "a" * 32, "name": "x"}, {"parent": "../x"}):
        with pytest.raises(InvalidInput):
            tracked.start(**wrong)
