"""A device's worker process, seen from the caller's side."""

from __future__ import annotations

import os
import pickle
import socket
import subprocess
import sys
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from hetsim.core.platform import Device
from hetsim.runtime.worker.settings import Settings

Message = tuple[Any, ...]
"""A message between caller and worker; its first element says what it is."""

_ENTRY = "from hetsim.runtime.worker.worker import main; main()"


@dataclass(kw_only=True)
class Worker:
    """The caller's side of one worker process.

    Attributes:
        device: The device.
        process: The process.
        control: Connection for messages both ways; it closes when the process ends.
        engine: Engine, version and settings, once the process has reported them.
    """

    device: Device
    process: subprocess.Popen[bytes]
    control: Connection
    engine: str = ""

    @property
    def is_stopped(self) -> bool:
        """Whether a signal has stopped the process, which then does not run until another signal continues it."""
        try:
            state = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:  # it has ended, and its connection reports that
            return False
        return state in ("T", "t")

    @property
    def core_wait_s(self) -> float:
        """How long the process's first thread has been ready to run while others had its core, in seconds."""
        try:
            return int(Path(f"/proc/{self.process.pid}/schedstat").read_text().split()[1]) * 1e-9
        except (OSError, IndexError):  # it has ended, or the kernel does not count
            return 0.0

    @property
    def fate(self) -> str:
        """How the process ended, as the end of a sentence."""
        code = self.process.poll()
        if code is None:
            return "closed its connection"
        return f"was ended by signal {-code}" if code < 0 else f"exited with status {code}"


def start_worker(settings: Settings) -> Worker:
    """Start a worker process; it inherits only the descriptors that it needs."""
    ours, theirs = socket.socketpair()
    with theirs:
        root = str(Path(__file__).parents[3])  # holds hetsim; not resolved, as hetsim/runtime may be a link
        process = subprocess.Popen(
            # -P: a file in the caller's folder must not hide one of our packages
            [sys.executable, "-P", "-c", _ENTRY, str(theirs.fileno()), pickle.dumps(settings).hex()],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))},
            pass_fds=(theirs.fileno(), *settings.wake_fds),
            stdin=subprocess.DEVNULL,
        )
    return Worker(device=settings.device, process=process, control=Connection(ours.detach()))
