"""Where a figure was measured: what has to stand beside it so that others can compare."""

from __future__ import annotations

import os
import platform
import sys
from datetime import UTC, datetime
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

PACKAGES = ("ringmoe", "torch", "numpy", "rasterio")


def describe_environment(*compared: str) -> dict[str, Any]:
    """Versions, processor, cores, threads, allocator settings and date, as plain values.

    Nothing is imported for it: torch's threads and GPU are told if the benchmark has loaded torch.

    Args:
        compared: Packages that ours is measured beside; those that are not installed are left out.
    """
    others = [name for name in compared if find_spec(name) is not None]
    torch = sys.modules.get("torch")
    gpu = torch.cuda.get_device_name() if torch and torch.cuda.is_available() else None
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in (*PACKAGES, *others)},
        "platform": platform.platform(),
        "processor": processor_name(),
        "cores": len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count(),
        "load": os.getloadavg()[0],
        "torch_threads": torch.get_num_threads() if torch else None,
        "gpu": gpu,
        "settings": {
            name: value
            for name, value in sorted(os.environ.items())
            if name.startswith(("MALLOC_", "OMP_", "MKL_", "LD_PRELOAD"))
        },
    }


def processor_name() -> str:
    """The CPU's name; `platform.processor()` is empty on Linux."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
