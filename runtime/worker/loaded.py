"""One device's part of a plan, bound to its buffers: runs its segments for each request.

The path of a request has neither a lock nor a message: each segment waits for cells in shared memory to count up, runs,
and counts up its own cell.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hetsim.runtime.backends.emulated import EMULATED
from hetsim.runtime.backends.protocol import Compiled
from hetsim.runtime.worker.arena import ABORTED, SUBMITTED, Arena
from hetsim.runtime.worker.pacing import Pace
from hetsim.runtime.worker.probes.speed import make_speed_probe
from hetsim.runtime.worker.probes.transfer import TransferProbe
from hetsim.runtime.worker.program import Program, Task
from hetsim.runtime.worker.settings import Settings
from hetsim.runtime.worker.waiter import Waiter


@dataclass(kw_only=True)
class Bound:
    """A step bound to its buffers, with everything that the loop needs looked up beforehand."""

    step: int
    waits: tuple[tuple[int, ...], tuple[int, ...]]  # cells to wait for: in parallel runs, and in serial runs
    run: Callable[..., object]
    pace: Pace | None
    stamp: int
    done: int
    wakes: tuple[tuple[int, int], ...]  # (parked cell, event descriptor) of devices that may sleep until it ends


class LoadedProgram:
    """One device's part of a plan, compiled and bound, ready to serve requests.

    Args:
        program: The device's part of the plan.
        arena: The plan's shared memory.
        compiled: The compiled segment of each task, in order.
        settings: The worker's settings.
        clock_ns: Time in nanoseconds, by default the monotonic clock.
    """

    def __init__(
        self,
        program: Program,
        arena: Arena,
        compiled: list[Compiled],
        settings: Settings,
        *,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._arena = arena
        self._cells = arena.cells
        self._current = arena.layout.current(settings.index)
        self._settings = settings
        layout = program.layout
        self.num_requests = 0
        self._clock_ns = clock_ns
        self._emulated = settings.device.backend == EMULATED
        self._speed_probe_ns = make_speed_probe(settings.device.cores)
        self._transfer_probe = TransferProbe(arena, program, settings)
        self.slots: list[list[Bound]] = [
            [
                Bound(
                    step=task.step,
                    waits=(
                        tuple(layout.done(step) for step in task.waits_for),
                        tuple(layout.done(step) for step in task.waits_serially),
                    ),
                    run=_bind(segment, arena, slot, task, check_numbers=program.check_numbers),
                    pace=(
                        Pace(arena, task, slot, emulated=self._emulated, clock_ns=clock_ns)
                        if self._emulated or task.arrivals or task.sends
                        else None
                    ),
                    stamp=layout.stamp(slot, task.step),
                    done=layout.done(task.step),
                    wakes=tuple((layout.parked(device), settings.wake_fds[device]) for device in task.wakes),
                )
                for task, segment in zip(program.tasks, compiled, strict=True)
            ]
            for slot in range(layout.num_slots)
        ]

    def serve(self, waiter: Waiter, report: Callable[[int], None]) -> None:
        """Run requests as they are submitted; blocks until the caller sends a message.

        Args:
            waiter: Waits for the caller and for other devices.
            report: Told the number of each request that this device has finished.

        Raises:
            Aborted: If another worker failed, or the caller is gone.
            SegmentFailed: If a segment raised; the other devices have been told to stop waiting.
        """
        cells, layout = self._arena.cells, self._arena.layout
        spin_s, run = self._settings.spin_s, self.run
        free_ns = 0
        while waiter.wait(SUBMITTED, self.num_requests + 1, self._settings.idle_spin_s, may_stop=True):
            request = self.num_requests + 1
            slot = self.num_requests % len(self.slots)
            serial = cells[layout.serial(slot)]
            free_ns = max(free_ns, cells[layout.submitted(slot)])
            for bound in self.slots[slot]:
                for cell in bound.waits[serial]:
                    if cells[cell] < request:
                        waiter.wait(cell, request, spin_s, may_stop=False)
                free_ns = run(bound, request, free_ns, None if serial else bound.pace)
            cells[self._current] = 0
            if serial and not self._emulated:
                index = self._settings.index
                cells[layout.speed_probe(slot, index)] = self._speed_probe_ns()
                cells[layout.transfer_probe(slot, index)] = self._transfer_probe.measure_ns(request, waiter)
            self.num_requests = request
            report(request)

    def end_request(self) -> None:
        """Note that the device has finished a request, where :meth:`serve` does not."""
        self._cells[self._current] = 0
        self.num_requests += 1

    def run(self, bound: Bound, request: int, free_ns: int, pace: Pace | None) -> int:
        """Run a step whose inputs are there; returns its end in nanoseconds.

        A hand-over takes from the end stamp to setting ``done``, and from seeing that to the start stamp of the
        consumer. Nothing else is done in between, and everything needed has been looked up.

        Args:
            bound: The step.
            request: Number of the request.
            free_ns: When the device became free.
            pace: Its timing; None to start at once.

        Raises:
            SegmentFailed: If the segment raised; the other devices have been told to stop waiting.
        """
        cells, clock_ns, run = self._cells, self._clock_ns, bound.run
        start_ns = clock_ns() if pace is None else pace.start_ns(free_ns)
        cells[self._current] = bound.step + 1
        try:
            if self._emulated:
                run(start_ns)
            else:
                run()
        except Exception as error:
            cells[ABORTED] = 1
            for fd in self._settings.wake_fds:
                os.eventfd_write(fd, 1)
            raise SegmentFailed(bound.step, error) from error
        end_ns = clock_ns()
        if pace is not None:
            pace.send(end_ns)
        cells[bound.done] = request
        cells[bound.stamp] = start_ns
        cells[bound.stamp + 1] = end_ns
        for parked, fd in bound.wakes:
            if cells[parked]:
                os.eventfd_write(fd, 1)
        return end_ns


def _bind(segment: Compiled, arena: Arena, slot: int, task: Task, *, check_numbers: bool) -> Callable[..., object]:
    inputs = {tensor.name: arena.place(slot, tensor) for tensor in task.inputs}
    outputs = {tensor.name: arena.place(slot, tensor) for tensor in task.outputs}
    run = segment.bind(inputs, outputs)
    if not check_numbers:
        return run

    def checked(*at: int) -> None:
        run(*at)
        name = first_nan(outputs)
        if name:
            raise FloatingPointError(f"tensor {name!r} has values that are not numbers (NaN)")

    return checked


class SegmentFailed(Exception):  # noqa: N818  (becomes a message to the caller)
    """A segment raised while running.

    Attributes:
        step: Its index in the plan's dataflow.
        reason: What it raised, in one line.
    """

    def __init__(self, step: int, error: Exception) -> None:
        super().__init__(step, error)
        self.step = step
        self.reason = one_line(error)


def one_line(error: Exception) -> str:
    """An exception's type and message in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def first_nan(tensors: Mapping[str, Any]) -> str:
    """The name of the first tensor that has NaN in it; empty if none has."""
    floats = {
        name: value for name, value in tensors.items() if isinstance(value, np.ndarray) and value.dtype.kind in "fc"
    }
    found = (name for name, array in floats.items() if np.isnan(array).any())
    return next(found, "")
