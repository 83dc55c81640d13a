"""What the runtime asks of an engine.

A protocol and not a base class: a backend shares no code with another, only these few calls, all made in the worker
process that belongs to one device.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from hetsim.runtime.worker.device_local import DeviceLocal

Array = np.ndarray[Any, np.dtype[Any]]


class Refused(Exception):  # noqa: N818  (not an error: the answer to a question)
    """The engine cannot run this segment; the message is its reason in one line."""


class Compiled(Protocol):
    """A segment that an engine has compiled."""

    def bind(self, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> Callable[[], object]:
        """Tie the segment to buffers for good; returns what runs it once.

        Args:
            inputs: C-contiguous arrays to read from, by tensor, in the order of the segment's inputs.
            outputs: C-contiguous arrays to write to, likewise. Nothing is copied beside them.

        Returns:
            A call that runs the segment in the caller's thread and returns when the outputs are written.
        """
        ...


class Backend(Protocol):
    """An engine set up for one device."""

    def describe(self) -> str:
        """Engine, version and settings: what a measurement holds for."""
        ...

    def compile(self, path: Path, device_local: Collection[DeviceLocal] = ()) -> Compiled:
        """Compile the ONNX model in a file.

        Args:
            path: The file.
            kept: Those of its inputs and outputs that only this device's segments touch. The engine may have them in
                any format that fits into their arrays, and says so in :meth:`describe`; the same for a tensor wherever
                it is kept.

        Raises:
            Refused: If the engine does not support it, or would hand part of it to other hardware.
        """
        ...
