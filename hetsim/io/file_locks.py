"""Locks on files, which the kernel lets go when the process dies; systems without them can still plan and simulate."""

from __future__ import annotations

from types import ModuleType

from hetsim.core.errors import HetsimError


def file_locks() -> ModuleType:
    """The module :mod:`fcntl`.

    Raises:
        HetsimError: If this system has none.
    """
    try:
        import fcntl
    except ImportError:
        raise HetsimError(
            "this system has no file locks (fcntl), which keep two processes from writing one file; "
            "measure and execute on Linux, plan and simulate anywhere"
        ) from None
    return fcntl
