"""A device's worker process as its caller holds it."""

from __future__ import annotations

import os
import pickle
import socket
import subprocess
import sys
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from hetsim.core.platform import Device
from hetsim.runtime.worker.settings import Settings

_ENTRY = "from hetsim.runtime.worker.worker import main; main()"


@dataclass(kw_only=True)
class Worker:
    """The caller's end of one device's process.

    Attributes:
        device: The device.
        process: Its process.
        control: Messages to and from it; closed by the process's death.
        engine: What the process said of its engine.
    """

    device: Device
    process: subprocess.Popen[bytes]
    control: Connection
    engine: str = ""

    @property
    def is_stopped(self) -> bool:
        """Whether the process has been stopped by a signal and does not run until another one continues it."""
        try:
            state = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:  # it is gone, which its connection says
            return False
        return state in ("T", "t")

    @property
    def held_s(self) -> float:
        """How long the process's first thread has been ready to run while others had its core, in seconds."""
        try:
            return int(Path(f"/proc/{self.process.pid}/schedstat").read_text().split()[1]) * 1e-9
        except (OSError, IndexError):  # it is gone, or the kernel does not count
            return 0.0

    @property
    def fate(self) -> str:
        """How the process ended, in words."""
        code = self.process.poll()
        if code is None:
            return "closed its connection"
        return f"was ended by signal {-code}" if code < 0 else f"exited with status {code}"


def start_worker(settings: Settings) -> Worker:
    """A worker process with a connection to it; it inherits just the descriptors that it needs."""
    ours, theirs = socket.socketpair()
    with theirs:
        root = str(Path(__file__).parents[3])  # holds hetsim; not resolved, as hetsim/runtime may be a link
        process = subprocess.Popen(
            # -P: a file of the caller's folder must not pass for one of our packages
            [sys.executable, "-P", "-c", _ENTRY, str(theirs.fileno()), pickle.dumps(settings).hex()],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))},
            pass_fds=(theirs.fileno(), *settings.wake_fds),
            stdin=subprocess.DEVNULL,
        )
    return Worker(device=settings.device, process=process, control=Connection(ours.detach()))
