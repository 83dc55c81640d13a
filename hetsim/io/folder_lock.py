"""Locks on folders, so that two runs do not overwrite each other's results."""

from __future__ import annotations

import os
import weakref
from pathlib import Path

from hetsim.core.errors import HetsimError
from hetsim.io.file_locks import file_locks


class FolderLock:
    """A lock on a folder, held while the object lives; the operating system releases it if the process dies.

    Use :func:`lock_folder` to create one.
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
    """Lock a folder for this process, as long as any caller keeps the returned object.

    Args:
        folder: The folder; it is created if it does not exist.

    Raises:
        HetsimError: If another process holds the lock.
        OSError: If it cannot be created or opened.
    """
    folder.mkdir(parents=True, exist_ok=True)
    place = folder.resolve()
    held = _HELD.get(place)
    if held is None:
        held = _HELD[place] = FolderLock(folder)
    return held
