"""What probes found, stored in a file in the user's cache folder for the next time.

Each line of the file is one verdict in JSON. Lines are appended whole by several processes at once; a line that cannot
be read is passed over. A verdict belongs to an engine with its version and precision, a processor, a version of the
reference, and a signature.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

_FORMAT = 4
"""Raised when probes change, so that older verdicts are not believed."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a probe found.

    Attributes:
        deviates: How the device differs from the reference, with a value; empty if it does not.
    """

    deviates: str = ""


class Verdicts:
    """The verdicts on one engine; those of earlier runs are read when the first is asked for.

    Args:
        engine: The engine with everything that decides what it computes.
        folder: The files' folder; None stores nothing.
    """

    def __init__(self, engine: str, folder: Path | None) -> None:
        name = hashlib.sha256(f"{_FORMAT} {engine}".encode()).hexdigest()[:24]
        self._engine = engine
        self._path = None if folder is None else folder / f"{name}.jsonl"
        self._found: dict[str, Verdict] | None = None

    def get(self, key: str) -> Verdict | None:
        """The verdict on a signature; None if it has not been probed."""
        return self._known().get(key)

    def add(self, key: str, kind: str, verdict: Verdict) -> None:
        """Keep a verdict; a folder that cannot be written is passed over."""
        self._known()[key] = verdict
        if self._path is None:
            return
        entry = {"engine": self._engine, "key": key, "kind": kind, "deviates": verdict.deviates}
        line = b"\n" + json.dumps(entry).encode() + b"\n"  # on a line of its own, even after half a line
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                os.write(descriptor, line)  # one call, which other processes' lines do not come between
            finally:
                os.close(descriptor)

    def _known(self) -> dict[str, Verdict]:
        if self._found is None:
            self._found = {}
            content = b""
            if self._path is not None:
                with contextlib.suppress(OSError):
                    content = self._path.read_bytes()
            for line in content.splitlines():
                with contextlib.suppress(ValueError, KeyError, TypeError):
                    entry = json.loads(line)
                    if entry["engine"] == self._engine and isinstance(entry["deviates"], str):
                        self._found[str(entry["key"])] = Verdict(deviates=entry["deviates"])
        return self._found
