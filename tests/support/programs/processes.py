"""Processes with limits of their own, and what processes leave behind."""

from __future__ import annotations

import multiprocessing
import resource
import signal
from collections.abc import Callable
from pathlib import Path


def in_child(work: Callable[..., None], *arguments: object) -> None:
    """Run ``work`` in a forked process, whose limits are its own; it must end without an exception."""
    child = multiprocessing.get_context("fork").Process(target=work, args=arguments)
    child.start()
    child.join()
    assert child.exitcode == 0


def limit_files(num_bytes: int) -> None:
    """Let no file of this process grow beyond a size, as on a full disk: writing more is an OSError."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # an error, not a signal
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, num_bytes))


def processes_with(variable: str) -> list[int]:
    """Processes on this machine that have ``variable`` in their environment."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                if variable.encode() in (folder / "environ").read_bytes():
                    found.append(int(folder.name))
            except OSError:
                pass  # it has just ended, or is another user's
    return found


def shared_memory() -> list[str]:
    """The runtime's shared memory: named files, and descriptors of anonymous memory that this process has open."""
    targets = [str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    named = [path.name for path in Path("/dev/shm").iterdir() if "hetsim" in path.name]
    return named + [target for target in targets if "memfd:hetsim" in target]
