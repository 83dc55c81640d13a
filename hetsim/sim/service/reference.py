"""The reference simulator of services, in SimPy.

The rules of :mod:`hetsim.sim.processes`, where several streams share the devices:

1. A device works through the queue of each stream strictly in order, request by request. When it is free, it runs, of
   all streams' next segments, one that is ready: its request has been submitted and all its inputs have arrived. If
   several are, the service's policy chooses. If none is, it waits for the first that becomes ready.
2. Hand-overs, and 3. the memory, as there.
4. A request that is due waits until its workload's dispatch gives it to an instance with a free slot. The host submits
   it and collects it after its last segment, which frees the slot. The host handles one request at a time, first come
   first served; on a tie collecting goes first, then the earlier workload and request. If more requests wait than the
   workload allows, the newest is dropped.

At each point in time, all other events happen first; then requests are dispatched, then the host picks its next job,
then the memory channel, then the devices, one after another in the platform's order, and then bandwidth is shared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import simpy
from numpy.typing import NDArray
from simpy.events import NORMAL, EventPriority

from hetsim.core.serving.dispatch import Dispatcher
from hetsim.core.serving.service import Service
from hetsim.sim.fluid import FluidMemory, Signal
from hetsim.sim.servers import Server, Steps
from hetsim.sim.service.streams import Stream

_DISPATCH, _HOST, _CHANNEL, _DEVICES = (EventPriority(NORMAL + i) for i in (1, 2, 3, 4))

Durations = Sequence[NDArray[np.float64] | None]
"""By stream, what steps take alone instead: shape (num_rows, num_steps), row ``k % num_rows`` for the stream's request
``k``; None for the streams' own times."""


class _Picker:
    """Calls a function after all other events of a time, again and again while it returns True."""

    def __init__(self, env: simpy.Environment, priority: EventPriority, pick: Callable[[], bool]) -> None:
        self._env, self._priority, self._pick = env, priority, pick
        self._wanted = False

    def wake(self) -> None:
        """Call the function at this time."""
        if not self._wanted:
            self._wanted = True
            quiesced = Signal(self._env)
            quiesced.callbacks.append(self._fire)
            quiesced.fire(in_s=0.0, priority=self._priority)

    def _fire(self, _: simpy.Event) -> None:
        self._wanted = False
        if self._pick():
            self.wake()


class ServiceRun:
    """One simulation of a service.

    Args:
        service: The service.
        streams: Its streams (:func:`hetsim.sim.service.streams.make_streams`).
        capacity_bytes_per_s: Sustained bandwidth of the memory.
        durations: What steps take instead, by stream; empty for the streams' own times.

    Attributes:
        dispatcher: Its requests; after :meth:`run`, with their instances.
        ends_s: By request, when its last segment ended; NaN before.
        runs: By step that ran: stream, request of the stream, step, start and end in seconds.
    """

    def __init__(
        self, service: Service, streams: Sequence[Stream], capacity_bytes_per_s: float, durations: Durations = ()
    ) -> None:
        self._streams = streams
        self._durations = durations or [None] * len(streams)
        self._env = simpy.Environment(initial_time=0.0)
        self._memory = FluidMemory(self._env, capacity_bytes_per_s)
        self.dispatcher = Dispatcher(service, streams)
        self.ends_s = np.full(self.dispatcher.num_requests, np.nan)
        self.runs: list[tuple[int, int, int, float, float]] = []
        self._num_devices = len(streams[0].queues)
        self._idle = [True] * self._num_devices
        self._next = [[(0, 0)] * self._num_devices for _ in streams]  # by stream and device: request, place in queue
        self._requests: list[list[int]] = [[] for _ in streams]  # by stream, its requests in order of dispatch
        self._submitted: list[int] = [0] * len(streams)  # by stream, how many of them
        self._num_left: list[list[int]] = [[] for _ in streams]  # by stream and request, steps that have not ended
        self._arrived: list[list[set[int]]] = [[] for _ in streams]  # by stream and request, hand-overs
        self._dispatch = _Picker(self._env, _DISPATCH, self._pick_requests)
        self._devices = _Picker(self._env, _DEVICES, self._pick_segment)
        self._host = Server(self._env, _HOST)
        if any(one.copies for stream in streams for one in stream.hand_overs):
            self._channel = Server(self._env, _CHANNEL)

    def run(self) -> None:
        """Simulate until nothing happens any more."""
        for time_s in sorted(set(self.dispatcher.arrival_times_s)):
            due = Signal(self._env)
            due.callbacks.append(lambda _: self._dispatch.wake())
            due.fire(in_s=time_s)
        self._env.run()

    def _pick_requests(self) -> bool:
        for request, stream in self.dispatcher.assign(self._env.now):
            self._requests[stream].append(request)
            self._num_left[stream].append(len(self._streams[stream].steps))
            self._arrived[stream].append(set())
            self._host.ask((1, request), self._submit(stream))
        return False

    def _submit(self, stream: int) -> Steps:
        yield from self._busy(self._streams[stream].submit_s)
        self._submitted[stream] += 1
        self._devices.wake()

    def _collect(self, stream: int) -> Steps:
        yield from self._busy(self._streams[stream].collect_s)
        self.dispatcher.release(stream)
        self._dispatch.wake()

    def _busy(self, seconds: float) -> Steps:
        done = Signal(self._env)
        done.fire(in_s=seconds)
        yield done

    def _pick_segment(self) -> bool:
        """Rule 1: start a segment on the first idle device that has a ready one."""
        for device in range(self._num_devices):
            ready = [
                stream for stream in range(len(self._streams)) if self._idle[device] and self._ready(stream, device)
            ]
            if ready:
                keys = {one: self.dispatcher.key(self._requests[one][self._next[one][device][0]]) for one in ready}
                self._idle[device] = False
                self._env.process(self._run(min(ready, key=lambda one: (*keys[one], one)), device))
                return True
        return False

    def _ready(self, stream: int, device: int) -> bool:
        request, place = self._next[stream][device]
        queue = self._streams[stream].queues[device]
        if not queue or request >= self._submitted[stream]:
            return False
        return self._arrived[stream][request].issuperset(self._streams[stream].steps[queue[place]].arrivals)

    def _run(self, stream: int, device: int) -> Steps:
        request, place = self._next[stream][device]
        one = self._streams[stream]
        number = one.queues[device][place]
        step, rows = one.steps[number], self._durations[stream]
        start_s = self._env.now
        seconds = step.seconds if rows is None else float(rows[request % len(rows), number])
        yield self._memory.run(seconds, step.traffic_bytes)
        self.runs.append((stream, request, number, start_s, self._env.now))
        self._idle[device] = True
        last = place + 1 == len(one.queues[device])
        self._next[stream][device] = (request + 1, 0) if last else (request, place + 1)
        self._send(stream, request, number)
        self._num_left[stream][request] -= 1
        if not self._num_left[stream][request]:
            known = self._requests[stream][request]
            self.ends_s[known] = self._env.now
            self._host.ask((0, known), self._collect(stream))
        self._devices.wake()

    def _send(self, stream: int, request: int, number: int) -> None:
        """Rule 2: after a step's end, its tensors go to the other devices that read them."""
        for i, one in enumerate(self._streams[stream].hand_overs):
            if one.producer != number:
                continue
            there = Signal(self._env)
            there.callbacks.append(partial(self._arrive, stream, request, i))
            if one.copies:
                self._channel.ask(
                    (self._requests[stream][request], i), self._copy(one.transfer_s, one.num_bytes, there)
                )
            else:
                there.fire(in_s=one.transfer_s)

    def _copy(self, transfer_s: float, num_bytes: int, there: Signal) -> Steps:
        yield self._memory.run(transfer_s, num_bytes)
        there.fire(in_s=0.0)
        yield there

    def _arrive(self, stream: int, request: int, hand_over: int, _: simpy.Event) -> None:
        self._arrived[stream][request].add(hand_over)
        self._devices.wake()
