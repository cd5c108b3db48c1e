"""How busy the machine is while a run goes on: processor, memory, disk, network, GPUs. Owns what is measured, under MLflow's names."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import psutil

PREFIX = "system/"
INTERVAL_S = 10.0
MEGABYTE = 1e6

Put = Callable[[int, dict[str, float]], None]


class SystemMetrics(threading.Thread):
    """Measures every `interval_s` seconds until it is stopped, and hands the values on with the number of the measurement."""

    def __init__(self, put: Put, folder: Path, interval_s: float) -> None:
        super().__init__(name="modelyard-system", daemon=True)
        self._put, self._folder, self._interval_s = put, folder, interval_s
        self._stops = threading.Event()

    def run(self) -> None:
        """Measures until it is stopped."""
        gpus = opened_gpus()
        psutil.cpu_percent()  # measures since the call before
        network, count = _network(), 0
        while not self._stops.wait(self._interval_s):
            values = {**_machine(self._folder), **{f"network_{name}_megabytes": now - network[name] for name, now in _network().items()}}
            for number, gpu in enumerate(gpus):
                values |= {f"gpu_{number}_{name}": value for name, value in gpu()}
            self._put(count, {f"{PREFIX}{name}": value for name, value in values.items()})
            count += 1

    def stop(self) -> None:
        """Ends it; a measurement under way is still handed on."""
        self._stops.set()
        self.join()


def _machine(folder: Path) -> dict[str, float]:
    memory, disk = psutil.virtual_memory(), psutil.disk_usage(str(folder))
    return {
        "cpu_utilization_percentage": psutil.cpu_percent(),
        "system_memory_usage_megabytes": memory.used / MEGABYTE,
        "system_memory_usage_percentage": memory.percent,
        "disk_usage_percentage": disk.percent,
        "disk_usage_megabytes": disk.used / MEGABYTE,
        "disk_available_megabytes": disk.free / MEGABYTE,
    }


def _network() -> dict[str, float]:
    counted: Any = psutil.net_io_counters()
    if counted is None:  # a machine without a network device
        return {}
    return {"receive": counted.bytes_recv / MEGABYTE, "transmit": counted.bytes_sent / MEGABYTE}


Gpu = Callable[[], Iterator[tuple[str, float]]]


def opened_gpus() -> list[Gpu]:
    """A measuring function for each GPU that NVIDIA's library sees; none where the library, its driver or a GPU is missing."""
    try:
        nvml = import_module("pynvml")  # the extra `gpu`
        nvml.nvmlInit()
        handles = [nvml.nvmlDeviceGetHandleByIndex(n) for n in range(nvml.nvmlDeviceGetCount())]
    except Exception:  # noqa: BLE001 - a foreign library's errors: whatever it is, there is nothing to measure
        return []
    return [lambda handle=handle: _gpu(nvml, handle) for handle in handles]  # type: ignore[misc]  # a bound default


def _gpu(nvml: Any, handle: Any) -> Iterator[tuple[str, float]]:
    """What one GPU tells of itself; what it does not know is left out."""
    with contextlib.suppress(nvml.NVMLError):
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
        yield "memory_usage_megabytes", memory.used / MEGABYTE
        yield "memory_usage_percentage", 100.0 * memory.used / memory.total
    with contextlib.suppress(nvml.NVMLError):
        yield "utilization_percentage", float(nvml.nvmlDeviceGetUtilizationRates(handle).gpu)
    with contextlib.suppress(nvml.NVMLError):
        watts = nvml.nvmlDeviceGetPowerUsage(handle) / 1000.0
        yield "power_usage_watts", watts
        yield "power_usage_percentage", 100.0 * watts * 1000.0 / nvml.nvmlDeviceGetEnforcedPowerLimit(handle)
