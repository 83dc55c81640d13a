"""Atomic writing of files, and reading with a size limit."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

MAX_BYTES = 64 << 20
"""Default limit for reading a file; a million operators fit."""


def read_bounded(path: Path, *, max_bytes: int = MAX_BYTES) -> bytes:
    """The content of a file.

    Raises:
        OSError: If it cannot be read, or has more than ``max_bytes``. No more than that is read, even from a device.
    """
    with open(path, "rb") as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise OSError(errno.EFBIG, f"it has more than {max_bytes >> 20} MiB, the most that is read", str(path))
    return content


def write_atomically(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path`` completely, or leave ``path`` as it was.

    Raises:
        OSError: If the folder cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)  # an interrupt may come after the replacement
        raise
