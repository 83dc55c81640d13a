"""What it takes to read what another device has just written: it tells how far apart their cores are at the moment.

On a machine whose host moves its processors about, two cores are now beside one cache and now on either side of the
chip. What one alone does takes no longer then, but what changes hands does: hand-overs to the other side were seen to
cost three times as much for seconds at a time. So after a serial walk the plan's devices wait for each other, each
writes a block, and each reads those of the others.
"""

from __future__ import annotations

import os
import time

from hetsim.runtime.worker.arena import Arena
from hetsim.runtime.worker.program import Program
from hetsim.runtime.worker.settings import Settings
from hetsim.runtime.worker.waiter import Waiter


class TransferProbe:
    """One device's side of it.

    Args:
        arena: The shared memory.
        program: The device's part of a plan.
        settings: Whose worker this is.
    """

    def __init__(self, arena: Arena, program: Program, settings: Settings) -> None:
        layout = program.layout
        self._description = arena.description
        self._spin_s = settings.spin_s
        self._last_step = layout.done(layout.num_steps - 1)
        self._own_word, self._own = layout.written(settings.index), arena.block(settings.index)
        self._others = [(layout.written(peer), arena.block(peer)) for peer in program.peers]
        self._wakes = [(layout.parked(peer), settings.wake_fds[peer]) for peer in program.peers]

    def measure_ns(self, request: int, waiter: Waiter) -> int:
        """How long it takes to read the block of the device that is farthest off; 0 where the plan uses no other.

        Args:
            request: Number of the serial request, of which this device's part has ended.
            waiter: Waits for the other devices.

        Raises:
            Aborted: If another worker gave up.
        """
        if not self._others:
            return 0
        self._wake()
        waiter.wait(self._last_step, request, self._spin_s, may_stop=False)
        self._own.fill(request)
        self._description[self._own_word] = request
        self._wake()
        longest_ns = 0
        for word, block in self._others:
            waiter.wait(word, request, self._spin_s, may_stop=False)
            begin_ns = time.monotonic_ns()
            block.max()
            longest_ns = max(longest_ns, time.monotonic_ns() - begin_ns)
        return longest_ns

    def _wake(self) -> None:
        for parked, fd in self._wakes:
            if self._description[parked]:
                os.eventfd_write(fd, 1)
