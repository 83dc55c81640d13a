"""A folder that one process at a time fills: two runs into the same one would write over each other's results."""

from __future__ import annotations

import os
import weakref
from pathlib import Path

from hetsim.core.errors import HetsimError
from hetsim.io.file_locks import file_locks


class FolderLock:
    """A folder locked for this process, for as long as the object lives; the kernel lets go if the process dies.

    Made by :func:`lock_folder`.
    """

    def __init__(self, folder: Path) -> None:
        fcntl = file_locks()
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        weakref.finalize(self, os.close, descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise HetsimError(
                f"folder {folder} is being filled by another process; wait for it or choose another folder"
            ) from None


_HELD: weakref.WeakValueDictionary[Path, FolderLock] = weakref.WeakValueDictionary()


def lock_folder(folder: Path) -> FolderLock:
    """Keep other processes that ask for the folder out until all who asked for it in this one let go of the result.

    Args:
        folder: It is created if it is not there.

    Raises:
        HetsimError: If another process holds it.
        OSError: If it cannot be created or opened.
    """
    folder.mkdir(parents=True, exist_ok=True)
    place = folder.resolve()
    held = _HELD.get(place)
    if held is None:
        held = _HELD[place] = FolderLock(folder)
    return held
