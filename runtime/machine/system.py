"""What the operating system offers this process: CPU cores, and what executing plans needs."""

from __future__ import annotations

import os
import platform

from hetsim.core.errors import PlatformError

_NEEDED = ("memfd_create", "eventfd", "sched_setaffinity")
"""Functions of :mod:`os` that only Linux has all of; workers and their shared memory need them."""


def available_cores() -> tuple[int, ...]:
    """CPU cores that this process may use, ascending; all cores on a system that does not tell."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


_ORDERED = ("x86_64", "amd64")
"""Processors on which a store is never seen before those that came before it in the program, as workers take for
granted: Python has no memory barriers."""


def require_system() -> None:
    """Check that plans can be executed on this system.

    Raises:
        PlatformError: If the system lacks what workers need, or the processor does not keep the order of stores.
    """
    missing = [name for name in _NEEDED if not hasattr(os, name)]
    if missing:
        raise PlatformError(
            f"executing and measuring need Linux, and this is {platform.system()} (without {', '.join(missing)}); plan "
            "and simulate here, and execute on a Linux machine"
        )
    if platform.machine().lower() not in _ORDERED:
        raise PlatformError(
            f"executing and measuring in Python need the order of stores of x86, and this is {platform.machine()}; "
            "plan and simulate here, and execute with the C++ runner of hetsim export"
        )
