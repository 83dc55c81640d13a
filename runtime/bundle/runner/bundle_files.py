"""A bundle's files: the manifest, checked, and where counters and tensors lie in memory."""

from __future__ import annotations

import hashlib
import json
import mmap
from pathlib import Path
from typing import Any

import numpy as np

FORMAT, VERSION = "hetsim-bundle", 1
PAGE_BYTES = 4096
SUBMITTED, ABORTED = 0, 8  # cells are 64-bit integers, one on each cache line of 64 bytes
FIRST_DONE = 16

Json = dict[str, Any]
Arrays = dict[str, Any]


class BundleError(Exception):
    """What is wrong, in one line."""


class Bundle:
    """A bundle's manifest, and where its counters and tensors lie in memory.

    Args:
        folder: The bundle.

    Raises:
        BundleError: If it is no bundle of this version, or a file differs from its hash.
    """

    def __init__(self, folder: Path, *, check_files: bool = True) -> None:
        self.folder = folder
        try:
            found = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        except OSError as error:
            raise BundleError(f"cannot read {folder / 'manifest.json'}: {error.strerror}") from None
        except ValueError as error:
            raise BundleError(f"{folder / 'manifest.json'} is malformed: {error}") from None
        if not isinstance(found, dict) or found.get("format") != FORMAT:
            raise BundleError(f"{folder / 'manifest.json'} is no manifest of a hetsim bundle")
        if found.get("version") != VERSION:
            raise BundleError(
                f"the bundle has version {found.get('version')}, this runner takes version {VERSION}; "
                "use the runner that came with the bundle"
            )
        self.manifest: Json = found
        try:
            self.steps: list[Json] = found["steps"]
            self.devices: list[Json] = found["devices"]
            self.tensors: dict[str, Json] = {tensor["name"]: tensor for tensor in found["tensors"]}
            self.inputs: list[str] = found["inputs"]
            self.outputs: list[str] = found["outputs"]
            files: dict[str, str] = found["files"]
        except (KeyError, TypeError) as error:
            raise BundleError(f"{folder / 'manifest.json'} lacks {error}") from None
        for path, expected in files.items() if check_files else ():
            self._check(path, expected)
        self.num_cells = FIRST_DONE + 8 * len(self.steps) + 2 * len(self.steps)
        self.tensors_at = -(-8 * self.num_cells // PAGE_BYTES) * PAGE_BYTES
        self.num_bytes = self.tensors_at + max(PAGE_BYTES, found["arena_bytes"])

    def _check(self, path: str, expected: str) -> None:
        digest = hashlib.sha256()
        try:
            with open(self.folder / path, "rb") as file:
                for block in iter(lambda: file.read(1 << 20), b""):
                    digest.update(block)
        except OSError as error:
            raise BundleError(f"cannot read {self.folder / path}: {error.strerror}; export the bundle anew") from None
        if digest.hexdigest() != expected:
            raise BundleError(f"{self.folder / path} differs from its hash in the manifest; export the bundle anew")

    def done(self, step: int) -> int:
        """The cell with the newest request for which a step has ended."""
        return FIRST_DONE + 8 * step

    def stamp(self, step: int) -> int:
        """The cell with the start of a step in nanoseconds; its end follows."""
        return FIRST_DONE + 8 * len(self.steps) + 2 * step

    def array(self, memory: mmap.mmap, name: str) -> Any:
        """A tensor's place in memory as an array of its type and shape."""
        tensor = self.tensors[name]
        count = int(np.prod(tensor["shape"], dtype=np.int64))
        start = self.tensors_at + tensor["offset"]
        return np.frombuffer(memory, np.dtype(tensor["dtype"]), count, start).reshape(tensor["shape"])

    def example(self, kind: str) -> Arrays:
        """The example's inputs or outputs by tensor."""
        return {
            name: np.fromfile(self.folder / path, np.dtype(self.tensors[name]["dtype"])).reshape(
                self.tensors[name]["shape"]
            )
            for name, path in self.manifest["example"][kind].items()
        }
