"""Files that one process at a time appends lines to. A crash loses at most the last line."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Self

from hetsim.core.errors import HetsimError
from hetsim.io.file_locks import file_locks


class LinesFile:
    """A file of lines, open and locked until it is closed.

    Args:
        path: The file; it is created with its folder if it does not exist.
        what: The name of the file in errors, such as ``profile runs/p.jsonl``.
        error: The class of errors.
        sync_s: :meth:`append` flushes to disk if the last flush is at least so many seconds ago. A killed process
            loses no appended line; a loss of power may lose those since the last flush.

    Attributes:
        whole: The complete lines that the file held when it was opened.
        rest: An incomplete line after them; usually empty.

    Raises:
        HetsimError: Of the given class, if the file cannot be opened, or another process writes it.
    """

    def __init__(self, path: Path, *, what: str, error: type[HetsimError], sync_s: float = 0.0) -> None:
        fcntl = file_locks()
        self._sync_s, self._synced_s = sync_s, time.monotonic()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(path, "a+b")  # noqa: SIM115  (closed by close)
        except OSError as problem:
            raise error(f"cannot write {what}: {problem.strerror}; choose another place") from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise error(f"{what} is being written by another process; wait for it or choose another place") from None
        self._file.seek(0)
        content = self._file.read()
        end = content.rfind(b"\n") + 1
        self.whole, self.rest = content[:end], content[end:]

    def drop_rest(self) -> None:
        """Remove the incomplete last line, if there is one."""
        if self.rest:
            self._file.truncate(len(self.whole))
            self.rest = b""

    def append(self, lines: bytes) -> None:
        """Append complete lines; they are in the file when this returns."""
        self._file.write(lines)
        self._file.flush()
        if time.monotonic() - self._synced_s >= self._sync_s:
            self._sync()

    def close(self) -> None:
        """Flush to disk, unlock and close the file."""
        if not self._file.closed:
            self._sync()
            self._file.close()

    def _sync(self) -> None:
        os.fsync(self._file.fileno())
        self._synced_s = time.monotonic()


class LinesFileOwner:
    """Base of a class with a :class:`LinesFile` in ``_file``: a context manager that closes the file at its end."""

    _file: LinesFile

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
