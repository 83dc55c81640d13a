"""Writing files so that a reader never sees half of one, and reading none that is larger than any good one."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

MAX_BYTES = 64 << 20
"""What is read of a file unless a reader says otherwise: a million operators fit."""


def read_bounded(path: Path, *, max_bytes: int = MAX_BYTES) -> bytes:
    """The content of a file.

    Raises:
        OSError: If it cannot be read, or has more than ``max_bytes``: no more is read, even of what is endless.
    """
    with open(path, "rb") as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise OSError(errno.EFBIG, f"it has more than {max_bytes >> 20} MiB, the most that is read", str(path))
    return content


def write_atomically(path: Path, content: bytes) -> None:
    """Put ``content`` at ``path``: it appears whole, or what was there stays.

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
