"""The transfer probe: the time to read a block that another device has just written.

A virtual machine's host moves its processors between physical cores, so two of them share a cache at one time and lie
on different sides of the chip at another. Computation is not slower then, but hand-overs are: they were measured to
take three times as long for seconds at a time. So after a serial run the plan's devices wait for each other, each
writes its probe block, and each reads the blocks of the others.
"""

from __future__ import annotations

import os
import time

from hetsim.runtime.worker.arena import Arena
from hetsim.runtime.worker.program import Program
from hetsim.runtime.worker.settings import Settings
from hetsim.runtime.worker.waiter import Waiter


class TransferProbe:
    """One device's side of the probe.

    Args:
        arena: The plan's shared memory.
        program: The device's part of the plan.
        settings: The worker's settings.
    """

    def __init__(self, arena: Arena, program: Program, settings: Settings) -> None:
        layout = program.layout
        self._cells = arena.cells
        self._spin_s = settings.spin_s
        self._last_step = layout.done(layout.num_steps - 1)
        self._own_cell, self._own = layout.written(settings.index), arena.block(settings.index)
        self._others = [(layout.written(peer), arena.block(peer)) for peer in program.peers]
        self._wakes = [(layout.parked(peer), settings.wake_fds[peer]) for peer in program.peers]

    def measure_ns(self, request: int, waiter: Waiter) -> int:
        """The longest time to read another device's block, in nanoseconds; 0 if the plan uses no other device.

        Args:
            request: Number of the serial request; this device has finished its part.
            waiter: Waits for the other devices.

        Raises:
            Aborted: If another worker failed, or the caller is gone.
        """
        if not self._others:
            return 0
        self._wake()
        waiter.wait(self._last_step, request, self._spin_s, may_stop=False)
        self._own.fill(request)
        self._cells[self._own_cell] = request
        self._wake()
        longest_ns = 0
        for cell, block in self._others:
            waiter.wait(cell, request, self._spin_s, may_stop=False)
            begin_ns = time.monotonic_ns()
            block.max()
            longest_ns = max(longest_ns, time.monotonic_ns() - begin_ns)
        return longest_ns

    def _wake(self) -> None:
        for parked, fd in self._wakes:
            if self._cells[parked]:
                os.eventfd_write(fd, 1)
