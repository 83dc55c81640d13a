"""The engine of emulated devices: takes a given time for each segment and writes the right outputs.

Its segments are not ONNX files but files of :mod:`hetsim.runtime.emulation`. They hold the segment's duration and the
outputs that real devices read, computed beforehand. Writing the outputs is part of the duration, as for a real engine.
The rest is spent looking at the clock, as sleeping would end up to 50 microseconds late.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hetsim.core.platform import Device
from hetsim.runtime.backends.protocol import Array, DeviceLocal, Place, arrays_only

_SECONDS = "seconds"
_LAST_NS = 30_000
"""For this time before its end a segment does not yield the core."""


class EmulatedBackend:
    """An emulated device.

    Args:
        device: The device.
        clock_ns: Time in nanoseconds, on the clock of the stamps; by default the monotonic clock.
    """

    def __init__(self, device: Device, clock_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._device = device
        self._clock_ns = clock_ns

    def describe(self) -> str:
        return f"emulated {self._device.precision}"

    def compile(self, path: Path, device_local: Collection[DeviceLocal] = ()) -> EmulatedSegment:  # noqa: ARG002  (in the model's format)
        with np.load(path) as file:
            content = dict(file)
        return EmulatedSegment(float(content.pop(_SECONDS)), content, self._clock_ns)


class EmulatedSegment:
    """A segment of an emulated device."""

    def __init__(self, seconds: float, values: Mapping[str, Array], clock_ns: Callable[[], int]) -> None:
        self._duration_ns = round(seconds * 1e9)
        self._values = dict(values)
        self._clock_ns = clock_ns

    def bind(self, inputs: Mapping[str, Place], outputs: Mapping[str, Place]) -> Callable[..., object]:  # noqa: ARG002
        """As :class:`~hetsim.runtime.backends.protocol.Compiled`; the function also takes the segment's start.

        Outputs that the segment's file lacks are not written: only emulated devices consume them, and those read
        nothing.
        """
        arrays = arrays_only(outputs)
        writes = [(arrays[name], value) for name, value in self._values.items()]
        clock_ns, duration_ns = self._clock_ns, self._duration_ns

        def run(start_ns: int | None = None) -> None:
            end_ns = (clock_ns() if start_ns is None else start_ns) + duration_ns
            for array, value in writes:
                np.copyto(array, value)
            last_ns = end_ns - _LAST_NS
            while clock_ns() < last_ns:
                os.sched_yield()  # another process on this core may have something to do, as in the worker's waits
            while clock_ns() < end_ns:
                pass

        return run


def write_segment(path: Path, seconds: float, values: Mapping[str, Array]) -> None:
    """Write the file of an emulated segment.

    Args:
        path: The file, ending in ``.npz``.
        seconds: The segment's duration.
        values: By tensor, its outputs.
    """
    with open(path, "wb") as file:
        content: dict[str, Any] = {_SECONDS: np.float64(seconds), **values}
        np.savez(file, allow_pickle=False, **content)


EMULATED = "emulated"
"""Name of this backend in platforms."""
