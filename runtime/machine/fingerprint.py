"""What machine a measurement was taken on, in words that another machine would not share by chance."""

from __future__ import annotations

import os
import platform
from functools import cache
from pathlib import Path


@cache
def machine_fingerprint() -> str:
    """Processor model, number of cores and operating system, such as ``"AMD EPYC, 2 cores, Linux x86_64"``."""
    return f"{_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}"


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    except OSError:  # not Linux
        pass
    return platform.processor() or "unknown processor"


def available_cores() -> tuple[int, ...]:
    """CPU cores that this process may use, ascending."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))
