"""Find devices that stopped, hang in a segment, or delay a request for too long.

A segment hangs when it takes far longer than any of its runs in the same session, so the limit needs no setting for
each model.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Protocol

import numpy as np

from hetsim.core.dataflow import Dataflow
from hetsim.core.errors import DeviceError
from hetsim.runtime.backends.protocol import Array
from hetsim.runtime.inference import PendingRequest
from hetsim.runtime.worker.arena import Arena

CHECK_INTERVAL_S = 0.25
"""How often callers who wait check the devices."""

Run = tuple[int, int]
"""A segment that a device is running: index of its step, and the number of the request."""

_MAX_UNREAD = 64  # reading stamps together keeps this off the path of each request
_MAX_RATIO = 50.0  # to the longest run so far; reloading pages from disk stays well below it


class SegmentClock:
    """Learns from finished requests how long each segment takes, and counts the time that running ones have taken.

    Only time during which the device could run is counted; the caller measures it.

    Args:
        num_steps: Steps of the plan.
        min_limit_s: The least time that any segment may take, in seconds.
    """

    def __init__(self, num_steps: int, min_limit_s: float) -> None:
        self._min_limit_s = min_limit_s
        self._longest_ns = np.zeros(num_steps, dtype=np.int64)
        self._unread_ns: list[Array] = []  # stamps of finished requests
        self._in_segment: dict[str, tuple[Run, float]] = {}

    def learn(self, stamps_ns: Array) -> None:
        """Take in a finished request: start and end of each step in nanoseconds, shape (num_steps, 2)."""
        self._unread_ns.append(stamps_ns)
        if len(self._unread_ns) == _MAX_UNREAD:
            self._read()

    def _read(self) -> None:
        for stamps_ns in self._unread_ns:
            np.maximum(self._longest_ns, stamps_ns[:, 1] - stamps_ns[:, 0], out=self._longest_ns)
        self._unread_ns.clear()

    def longest_s(self, step: int) -> float:
        """The longest run of a step so far, in seconds; 0 if none has finished."""
        self._read()
        return float(self._longest_ns[step]) * 1e-9

    def limit_s(self, step: int) -> float:
        """How long a step may take, in seconds; infinite until its first run has finished."""
        longest_s = self.longest_s(step)
        return max(self._min_limit_s, _MAX_RATIO * longest_s) if longest_s else float("inf")

    def is_over(self, device: str, run: Run, elapsed_s: float) -> bool:
        """Whether a device has been in its segment for longer than the segment may take.

        Args:
            device: The device.
            run: What it is running.
            elapsed_s: Seconds since the last call during which it could run.
        """
        before, spent_s = self._in_segment.get(device, (None, 0.0))
        spent_s = spent_s + elapsed_s if run == before else 0.0
        self._in_segment[device] = (run, spent_s)
        return spent_s > self.limit_s(run[0])


class Processes(Protocol):
    """What the detector asks of the devices' processes."""

    def core_wait_s(self, name: str) -> float:
        """How long a device's process has been ready to run while others had its core, in seconds since its start."""
        ...


class HangDetector:
    """Watches the devices of one loaded plan.

    Args:
        processes: The devices' processes.
        flow: The plan, resolved.
        arena: Its shared memory, where devices note what they run.
        device_indices: By device that runs a part of the plan, its number on the platform.
        stall_s: The longest time that a request may take, in seconds.
        slow_s: The least time that any segment may take, in seconds.
    """

    def __init__(
        self,
        processes: Processes,
        flow: Dataflow,
        arena: Arena,
        device_indices: Mapping[str, int],
        *,
        stall_s: float,
        slow_s: float,
    ) -> None:
        self._processes = processes
        self._flow = flow
        self._arena = arena
        self._device_indices = device_indices
        self._stall_s = stall_s
        self._clock = SegmentClock(len(flow.steps), slow_s)
        self._stopped: tuple[str, ...] = ()  # devices that were stopped at the last check
        self._checked_s = 0.0  # when the last check was
        self._core_wait_s: dict[str, float] = {}  # by device, at the last check

    def learn(self, stamps_ns: Array) -> None:
        """Take in a finished request: start and end of each step in nanoseconds, shape (num_steps, 2)."""
        self._clock.learn(stamps_ns)

    def running_on(self, device: str, pending: Mapping[int, PendingRequest]) -> tuple[str, ...]:
        """Operators of the segment that a device is running; empty if it runs none."""
        run = self._run_on(device, pending)
        return () if run is None else self._ops(run[0])

    def check(self, pending: Mapping[int, PendingRequest], stopped: tuple[str, ...]) -> DeviceError | None:
        """What is wrong with a device, or None.

        Args:
            pending: By number, the requests that some device has not finished, oldest first.
            stopped: Devices whose processes a signal has stopped.
        """
        return self._find_stopped(pending, stopped) or self._find_hung(pending) or self._find_stalled(pending)

    def _find_stopped(self, pending: Mapping[int, PendingRequest], stopped: tuple[str, ...]) -> DeviceError | None:
        """A device whose process is stopped at two checks in a row; once may be a short Ctrl-Z."""
        again = [name for name in stopped if name in self._stopped]
        self._stopped = stopped
        if not again:
            return None
        ops = self.running_on(again[0], pending)
        where = f" in segment {ops[0]!r} of {len(ops)}" if ops else ""
        return DeviceError(f"the process of device {again[0]!r} was stopped{where}", device=again[0], segment=ops)

    def _find_hung(self, pending: Mapping[int, PendingRequest]) -> DeviceError | None:
        """A device that has been in a segment for far longer than ever before.

        Between two checks no more than the check interval counts, so that a machine that was suspended is no fault.
        Time in which a process waited for a core does not count either.
        """
        now_s = time.monotonic()
        since_s, self._checked_s = min(now_s - self._checked_s, CHECK_INTERVAL_S), now_s
        for name in self._device_indices:
            run = self._run_on(name, pending)
            if run is None:
                continue
            core_wait_s = self._processes.core_wait_s(name)
            elapsed_s = max(0.0, since_s - (core_wait_s - self._core_wait_s.get(name, core_wait_s)))
            self._core_wait_s[name] = core_wait_s
            if self._clock.is_over(name, run, elapsed_s):
                ops = self._ops(run[0])
                return DeviceError(
                    f"device {name!r} hangs in segment {ops[0]!r} of {len(ops)}: it has been there for more than "
                    f"{self._clock.limit_s(run[0]):.2g} s, and took {self._clock.longest_s(run[0]) * 1e3:.3g} ms at "
                    "most before",
                    device=name,
                    segment=ops,
                )
        return None

    def _find_stalled(self, pending: Mapping[int, PendingRequest]) -> DeviceError | None:
        """The device that delays the oldest request, if that has been pending for too long."""
        oldest = next(iter(pending.values()), None)
        if oldest is None or time.monotonic_ns() - oldest.submitted_ns < self._stall_s * 1e9:
            return None
        for name in self._device_indices:
            ops = self.running_on(name, pending)
            if ops:
                return DeviceError(
                    f"device {name!r} has not finished segment {ops[0]!r} of {len(ops)} within {self._stall_s} s",
                    device=name,
                    segment=ops,
                )
        return None

    def _run_on(self, device: str, pending: Mapping[int, PendingRequest]) -> Run | None:
        request = next((number for number, one in pending.items() if device in one.devices), None)
        cells, layout = self._arena.cells, self._arena.layout
        step = int(cells[layout.current(self._device_indices[device])]) - 1
        if request is None or step < 0 or cells[layout.done(step)] >= request:  # done: it waits for its next segment
            return None
        return step, request

    def _ops(self, step: int) -> tuple[str, ...]:
        return self._flow.steps[step].segment.ops
