"""The machine that a benchmark ran on: without it, a time says nothing."""

import os
import platform
import sys
from pathlib import Path

_QUIET = 0.3
"""Load per core below which other programs do not blur a measurement."""


def describe() -> str:
    """Processor, cores, kernel and Python, in one line."""
    parts = [
        _processor(),
        f"{os.cpu_count()} cores",
        f"{platform.system()} {platform.release()}",
        f"{platform.python_implementation()} {platform.python_version()}",
    ]
    return ", ".join(parts)


def load() -> str:
    """How busy the machine is with other things, as a sentence."""
    busy = os.getloadavg()[0]
    quiet = busy < _QUIET * (os.cpu_count() or 1)
    verdict = "quiet" if quiet else "other programs were running, so the figures are too high"
    return f"Load average before the run: {busy:.1f} ({verdict})."


def _processor() -> str:
    if sys.platform == "linux":
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        for line in lines:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
