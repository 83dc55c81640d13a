"""The command line, run in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def hetsim(*args: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """``hetsim`` with these arguments, run in a folder; warnings are errors."""
    return subprocess.run(
        [sys.executable, "-c", "from hetsim.tuner.cli.app import main; main()", *map(str, args)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "COLUMNS": "200", "PYTHONWARNINGS": "error"},
    )
