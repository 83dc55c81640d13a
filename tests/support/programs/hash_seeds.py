"""Programs whose answer must not depend on Python's hashes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).parents[3]


def printed_under(hash_seed: str, program: str, *arguments: str) -> str:
    """What a program prints in an interpreter of its own under this ``PYTHONHASHSEED``."""
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
