"""The shared memory as a fluid: running segments and copies share its bandwidth.

Work that moves ``m`` bytes in ``d`` seconds alone demands ``m / d``. While the total demand exceeds the sustained
bandwidth, each gets its max-min fair share: work that demands less than an equal share gets its demand, and the rest is
divided equally among the others, round by round. Work ends when it has moved its bytes. Shares change only when work
starts or ends. They are computed once for each point in time, after all starts and ends at that time, so that the order
of those does not matter. This is the fluid model of SimGrid (Casanova et al., J. Parallel Distrib.
Comput. 74(10), 2014, doi 10.1016/j.jpdc.2014.06.008).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import simpy
from simpy.events import NORMAL, EventPriority

SHARING = EventPriority(NORMAL + 5)
"""Priority of the event that computes shares. Events that start work at the same time have a higher priority."""


class Signal(simpy.Event):
    """An event with a time set in advance, like SimPy's ``Timeout``."""

    def fire(self, *, in_s: float, priority: EventPriority = NORMAL) -> None:
        """Schedule the event ``in_s`` seconds from now."""
        self._ok = True
        self._value = None
        self.env.schedule(self, priority, in_s)


def fair_shares(demands: Sequence[float], capacity: float) -> list[float]:
    """The max-min fair share of each demand, in the unit of the demands; the sum is at most ``capacity``.

    >>> fair_shares([1.0, 5.0, 9.0], 9.0)
    [1.0, 4.0, 4.0]

    Args:
        demands: The demands, 0 or more.
        capacity: The capacity, more than 0.
    """
    left = capacity
    for served, demand in enumerate(sorted(demands)):
        equal_share = left / (len(demands) - served)
        if demand > equal_share:
            return [min(each, equal_share) for each in demands]
        left -= demand
    return list(demands)


@dataclass(slots=True, eq=False)
class _Stream:
    """Work that is running.

    Attributes:
        demand: Bytes per second that it moves alone.
        done: Event at the end of the work.
        left_bytes: Bytes that were left to move at ``since_s``.
        since_s: Time of the last change of its rate.
        rate: Bytes per second since then.
        end: Event that ends the work unless the rate changes first.
    """

    demand: float
    done: Signal
    left_bytes: float
    since_s: float
    rate: float
    end: Signal


class FluidMemory:
    """Shares a memory's bandwidth among all running work.

    Args:
        env: The simulation.
        capacity_bytes_per_s: Sustained bandwidth of the memory.
    """

    def __init__(self, env: simpy.Environment, capacity_bytes_per_s: float) -> None:
        self._env = env
        self._capacity_bytes_per_s = capacity_bytes_per_s
        self._running: list[_Stream] = []
        self._sharing = False  # whether shares will be computed at this time

    def run(self, seconds: float, num_bytes: int) -> simpy.Event:
        """Start work that takes ``seconds`` and moves ``num_bytes`` alone; the returned event happens at its end.

        Work that is never slowed down ends exactly ``seconds`` from now, to the last bit.
        """
        done = Signal(self._env)
        if seconds == 0 or num_bytes == 0:
            done.fire(in_s=seconds)
            return done
        demand = num_bytes / seconds
        stream = _Stream(demand, done, num_bytes, self._env.now, demand, done)
        stream.end = self._end(stream, in_s=seconds)
        self._running.append(stream)
        self._share_soon()
        return done

    def _share_soon(self) -> None:
        """Schedule the computation of shares after all other events of this time."""
        if not self._sharing:
            self._sharing = True
            quiesced = Signal(self._env)
            quiesced.callbacks.append(self._share)
            quiesced.fire(in_s=0.0, priority=SHARING)

    def _share(self, _: simpy.Event) -> None:
        """Set each rate to its share. Work whose rate does not change keeps its end event."""
        self._sharing = False
        demands = [stream.demand for stream in self._running]
        for stream, rate in zip(self._running, fair_shares(demands, self._capacity_bytes_per_s), strict=True):
            if rate != stream.rate:
                now = self._env.now
                stream.left_bytes = max(0.0, stream.left_bytes - (now - stream.since_s) * stream.rate)
                stream.since_s = now
                stream.rate = rate
                stream.end = self._end(stream, in_s=stream.left_bytes / rate)

    def _end(self, stream: _Stream, *, in_s: float) -> Signal:
        """The event that ends a stream unless its rate changes first."""
        end = Signal(self._env)

        def arrive(_: simpy.Event) -> None:
            if stream.end is end:  # otherwise its rate has changed since
                self._running.remove(stream)
                stream.done.fire(in_s=0.0)
                self._share_soon()

        end.callbacks.append(arrive)
        end.fire(in_s=in_s)
        return end
