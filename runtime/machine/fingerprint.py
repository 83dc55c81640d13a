"""Identify the machine that a measurement was taken on."""

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
