"""What a figure was measured on: it is quoted with its processor, or not at all."""

import os
import platform
from pathlib import Path


def load() -> float:
    """Return the load average of the last minute."""
    return round(os.getloadavg()[0], 2)


def describe() -> dict[str, object]:
    """Return the machine's facts, as far as it tells them."""
    model = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    return {
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)),
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "load": load(),
    }
