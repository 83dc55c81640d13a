"""Servers of a SimPy simulation that do one job at a time: the host, and the memory channel."""

from __future__ import annotations

import heapq
from collections.abc import Generator

import simpy
from simpy.events import EventPriority

from hetsim.sim.fluid import Signal

Steps = Generator[simpy.Event, None, None]
"""A SimPy process or a part of one."""


class Server:
    """Does one job at a time, first come first served; simultaneous jobs go by their keys.

    Args:
        env: The simulation.
        priority: Its event at a time comes after those of smaller priorities; it picks its next job then.
    """

    def __init__(self, env: simpy.Environment, priority: EventPriority) -> None:
        self._env = env
        self._priority = priority
        self._jobs: list[tuple[float, tuple[int, ...], Steps]] = []  # a heap by time and key
        self._wanted = env.event()
        env.process(self._serve())

    def ask(self, key: tuple[int, ...], job: Steps) -> None:
        """Queue a job. No two jobs may have the same key."""
        heapq.heappush(self._jobs, (self._env.now, key, job))
        if not self._wanted.triggered:
            self._wanted.succeed()

    def _serve(self) -> Steps:
        while True:
            if not self._jobs:
                self._wanted = self._env.event()
                yield self._wanted
            quiesced = Signal(self._env)  # all other events of this time come first
            quiesced.fire(in_s=0.0, priority=self._priority)
            yield quiesced
            yield from heapq.heappop(self._jobs)[-1]
