"""What the runtime asks of an engine.

These are protocols and not base classes: backends share no code, only these few calls. All are made in the worker
process of one device.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from hetsim.runtime.backends.box import Box

Array = np.ndarray[Any, np.dtype[Any]]


Place = Array | Box
"""Where a segment finds an input or leaves an output: an array in shared memory, or the box of an opaque value."""


class Refused(Exception):  # noqa: N818  (not an error: the answer to a question)
    """The engine cannot run this segment; the message is its reason in one line."""


class Compiled(Protocol):
    """A segment that an engine has compiled."""

    def bind(self, inputs: Mapping[str, Place], outputs: Mapping[str, Place]) -> Callable[[], object]:
        """Bind the segment to its buffers; the binding cannot be changed.

        Args:
            inputs: C-contiguous arrays to read from, by tensor, in the order of the segment's inputs; boxes of values
                that are no arrays of known size.
            outputs: C-contiguous arrays to write to, likewise; the engine writes them directly.

        Returns:
            A function that runs the segment once in the caller's thread and returns when the outputs are written.

        Raises:
            Refused: If the engine cannot use these buffers.
        """
        ...


class Backend(Protocol):
    """An engine set up for one device."""

    def describe(self) -> str:
        """Engine, version and settings; a measurement is valid for these."""
        ...

    def compile(self, path: Path, device_local: Collection[DeviceLocal] = ()) -> Compiled:
        """Compile the ONNX model in a file.

        Args:
            path: The file.
            device_local: Those of its inputs and outputs that only this device's segments access. The engine may store
                them in any format that fits into their arrays, the same for a tensor in all segments, and mentions it
                in :meth:`describe`.

        Raises:
            Refused: If the engine does not support it, or would hand part of it to other hardware.
        """
        ...


@dataclass(frozen=True, slots=True)
class DeviceLocal:
    """A tensor that only one device's segments access.

    Attributes:
        tensor: Its name.
        device: The device.
        is_image: Whether its axes are those of images: batch, channels, height and width.
    """

    tensor: str
    device: str
    is_image: bool


def arrays_only(places: Mapping[str, Place]) -> Mapping[str, Array]:
    """The places, if all of them are arrays.

    Raises:
        Refused: If one is a box.
    """
    for name, place in places.items():
        if isinstance(place, Box):
            raise Refused(f"tensor {name!r} is no array of numbers of known size, which this engine does not take")
    return {name: place for name, place in places.items() if not isinstance(place, Box)}
