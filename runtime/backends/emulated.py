"""A device that nobody has, in real time: takes the time that it would take, and hands out the right tensors.

Its segments are not ONNX but files of :mod:`hetsim.runtime.emulation`: how long the segment takes, and the tensors that
it makes for devices that really compute, worked out beforehand. Writing them is part of that time, as it is for a real
engine. What is left of it is waited for by looking at the clock: sleeping would end up to 50 microseconds late.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hetsim.core.platform import Device
from hetsim.runtime.backends.protocol import Array
from hetsim.runtime.worker.device_local import DeviceLocal

_SECONDS = "seconds"
_LAST_NS = 30_000
"""So shortly before its end a segment lets nobody else have the core."""


class EmulatedBackend:
    """An emulated device.

    Args:
        device: The device.
        clock_ns: Time in nanoseconds, the same that stamps come from; tests inject theirs.
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

    def bind(self, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> Callable[..., object]:  # noqa: ARG002
        """As :class:`~hetsim.runtime.backends.protocol.Compiled`; the call may be told when the segment has started.

        Outputs that the segment's file does not have are read by emulated devices alone, which read nothing.
        """
        writes = [(outputs[name], value) for name, value in self._values.items()]
        clock_ns, duration_ns = self._clock_ns, self._duration_ns

        def run(start_ns: int | None = None) -> None:
            end_ns = (clock_ns() if start_ns is None else start_ns) + duration_ns
            for array, value in writes:
                np.copyto(array, value)
            last_ns = end_ns - _LAST_NS
            while clock_ns() < last_ns:
                os.sched_yield()  # as in the worker's waits: the caller may be about to wake another device
            while clock_ns() < end_ns:
                pass

        return run


def write_segment(path: Path, seconds: float, values: Mapping[str, Array]) -> None:
    """Write the file of an emulated segment.

    Args:
        path: Where to, ending in ``.npz``.
        seconds: How long the segment takes.
        values: By tensor, what it makes.
    """
    with open(path, "wb") as file:
        content: dict[str, Any] = {_SECONDS: np.float64(seconds), **values}
        np.savez(file, allow_pickle=False, **content)
