"""The command line, run in this process or in a process of its own."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

from hetsim.tuner.cli.app import main
from hetsim.tuner.cli.screen import screen

_WIDE = {"COLUMNS": "200"}


def hetsim(*args: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """``hetsim`` with these arguments, run in a process of its own in a folder; warnings are errors."""
    return subprocess.run(
        [sys.executable, "-c", "from hetsim.tuner.cli.app import main; main()", *map(str, args)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **_WIDE, "PYTHONWARNINGS": "error"},
    )


def hetsim_in_process(*args: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The same in this process, which saves starting an interpreter and importing everything."""
    command, status = ["hetsim", *map(str, args)], 0
    out, err = io.StringIO(), io.StringIO()
    screen.cache_clear()  # the console takes its width from the environment when it is made
    argv, environment = patch.object(sys, "argv", command), patch.dict(os.environ, _WIDE)
    with chdir(cwd), argv, environment, redirect_stdout(out), redirect_stderr(err):
        try:
            main()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
    screen.cache_clear()
    return subprocess.CompletedProcess(command, status, out.getvalue(), err.getvalue())
