"""The memory behind all devices as a fluid that running segments and copies share.

Work that moves ``m`` bytes in ``d`` seconds alone demands ``m / d``. While the demands of all that runs exceed what the
memory sustains, each gets its max-min fair share: those that ask for less than an equal share get what they ask for,
and the others divide the rest equally, round by round. Work has ended when it has moved its bytes. Shares change only
when work starts or ends; they are dealt out once at any one time, when all that starts or ends at it has, so that the
order in which it does so means nothing. This is the fluid model of SimGrid (Casanova et al., J. Parallel Distrib.
Comput. 74(10), 2014, doi 10.1016/j.jpdc.2014.06.008).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import simpy
from simpy.events import NORMAL, EventPriority

SHARING = EventPriority(NORMAL + 3)
"""Of the event that deals out shares: anybody who decides at that time what else starts goes before."""


class Signal(simpy.Event):
    """An event that its maker sets off ahead of time, as simpy does with its own ``Timeout``."""

    def fire(self, *, in_s: float, priority: EventPriority = NORMAL) -> None:
        """Let it happen ``in_s`` seconds from now."""
        self._ok = True
        self._value = None
        self.env.schedule(self, priority, in_s)


def fair_shares(demands: Sequence[float], capacity: float) -> list[float]:
    """The max-min fair share of each demand, in its own unit; sums to at most ``capacity``.

    >>> fair_shares([1.0, 5.0, 9.0], 9.0)
    [1.0, 4.0, 4.0]

    Args:
        demands: What each would take alone, 0 or more.
        capacity: What there is, more than 0.
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
    """Work under way.

    Attributes:
        demand: Bytes per second that it moves at full speed.
        done: Happens when it has ended.
        left_bytes: What was left to move at ``since_s``.
        since_s: When its rate last changed.
        rate: Bytes per second that it has moved since.
        end: What will end it unless its rate changes before.
    """

    demand: float
    done: Signal
    left_bytes: float
    since_s: float
    rate: float
    end: Signal


class FluidMemory:
    """Shares a memory's bandwidth among all that runs.

    Args:
        env: The simulation.
        capacity_bytes_per_s: What the memory sustains in all.
    """

    def __init__(self, env: simpy.Environment, capacity_bytes_per_s: float) -> None:
        self._env = env
        self._capacity_bytes_per_s = capacity_bytes_per_s
        self._running: list[_Stream] = []
        self._sharing = False  # whether shares are going to be dealt out at this time

    def run(self, seconds: float, num_bytes: int) -> simpy.Event:
        """Start work that takes ``seconds`` and moves ``num_bytes`` alone; the event happens when it has ended.

        What is never slowed down ends just ``seconds`` from now, to the last bit.
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
        """Have shares dealt out when all that happens at this time has."""
        if not self._sharing:
            self._sharing = True
            quiesced = Signal(self._env)
            quiesced.callbacks.append(self._share)
            quiesced.fire(in_s=0.0, priority=SHARING)

    def _share(self, _: simpy.Event) -> None:
        """Give everyone the rate that is its share; whoever keeps its rate keeps its end."""
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
        """The end of a stream unless its rate changes before."""
        end = Signal(self._env)

        def arrive(_: simpy.Event) -> None:
            if stream.end is end:  # else its rate has changed meanwhile
                self._running.remove(stream)
                stream.done.fire(in_s=0.0)
                self._share_soon()

        end.callbacks.append(arrive)
        end.fire(in_s=in_s)
        return end
