"""Which waiting request goes to which stream, and which are dropped; one object for simulator and runtime."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np

from hetsim.core.serving.service import Service, Workload


class StreamFacts(Protocol):
    """What dispatch needs to know of a stream."""

    @property
    def num_slots(self) -> int:
        """Requests that may be in flight."""
        ...

    @property
    def latency_s(self) -> float:
        """What one request takes alone, in seconds."""
        ...

    @property
    def busiest_s(self) -> float:
        """Time that one request takes on the device with the most work for it, in seconds."""
        ...


class Dispatcher:
    """The requests of a service on their way to its streams.

    Requests have one number each, workload by workload in order of arrival.

    Args:
        service: The service.
        streams: Its streams, workload by workload, instance by instance.

    Attributes:
        num_requests: Requests of all workloads.
        first: By workload, the number of its first request; one entry more than workloads.
        due_s: By request, when it is due; NaN before that is known.
        stream: By request, the stream that it went to; -1 before, or if it was dropped.
    """

    def __init__(self, service: Service, streams: Sequence[StreamFacts]) -> None:
        counts = [one.arrivals.num_requests for one in service.workloads]
        self.first = [sum(counts[:i]) for i in range(len(counts) + 1)]
        self.num_requests = self.first[-1]
        self.due_s = np.full(self.num_requests, np.nan)
        self.stream = np.full(self.num_requests, -1)
        self._offset_s = np.repeat(np.array(service.offsets_s), counts)
        self._rank = np.repeat(np.array(service.ranks), counts)
        self._sources: list[_Source] = []
        self._owner: list[_Source] = []
        number = 0
        for i, workload in enumerate(service.workloads):
            own = range(number, number + len(workload.deployment.instances))
            number = own.stop
            if workload.arrivals.times_s is not None:
                self.due_s[self.first[i] : self.first[i + 1]] = workload.arrivals.times_s
            source = _Source(workload, {one: streams[one] for one in own}, self.first[i], self.due_s, self.stream)
            self._sources.append(source)
            self._owner += [source] * len(own)

    @property
    def arrival_times_s(self) -> list[float]:
        """When requests are due, as far as that is known beforehand; 0 for workloads that are saturated."""
        known = self.due_s[~np.isnan(self.due_s)].tolist()
        return [*known, 0.0] if len(known) < self.num_requests else known

    def key(self, request: int) -> tuple[float, float, float]:
        """What devices compare: the request with the smallest key goes first."""
        due_s = float(self.due_s[request])
        return float(self._rank[request]), due_s + float(self._offset_s[request]), due_s

    def assign(self, now_s: float) -> Iterator[tuple[int, int]]:
        """Requests that go to a stream now, each with the stream; drops what may not wait."""
        for source in self._sources:
            yield from source.assign(now_s)

    def release(self, stream: int) -> None:
        """Note that a stream's slot is free again."""
        self._owner[stream].in_flight[stream] -= 1

    @property
    def is_done(self) -> bool:
        """Whether every request went to a stream or was dropped."""
        return all(source.is_done for source in self._sources)

    @property
    def next_due_s(self) -> float:
        """When the next request is due that has not been taken up; infinite if none, or if that depends on slots."""
        return min(source.next_due_s for source in self._sources)


class _Source:
    """The requests of one workload."""

    def __init__(
        self,
        workload: Workload,
        streams: dict[int, StreamFacts],
        first: int,
        due_s: np.ndarray,
        stream_of: np.ndarray,
    ) -> None:
        self._workload, self._streams = workload, streams
        self._due_s, self._stream_of = due_s, stream_of
        self._next, self._end = first, first + workload.arrivals.num_requests
        self._cycle = [min(streams) + i for i in workload.deployment.full_cycle]
        self._num_given = 0
        self._free_s = dict.fromkeys(streams, 0.0)  # for "earliest_finish": when the busiest device has ended all work
        self.in_flight = dict.fromkeys(streams, 0)
        common = workload.deployment.dispatch != "earliest_finish"
        self.queues: dict[int, deque[int]] = {-1: deque()} if common else {one: deque() for one in streams}

    @property
    def is_done(self) -> bool:
        return self._next == self._end and not any(self.queues.values())

    @property
    def next_due_s(self) -> float:
        if self._next == self._end or self._workload.arrivals.times_s is None:
            return math.inf
        return float(self._due_s[self._next])

    def assign(self, now_s: float) -> Iterator[tuple[int, int]]:
        if self._workload.arrivals.times_s is None:
            while self._next < self._end and (stream := self._choose(now_s)) is not None:
                self._due_s[self._next] = now_s
                yield self._start(self._next, stream)
                self._next += 1
            return
        while self._next < self._end and self._due_s[self._next] <= now_s:
            stream = -1 if -1 in self.queues else self._earliest(list(self._streams), now_s)
            self.queues[stream].append(self._next)
            self._next += 1
        if self._workload.drop_late:
            self._drop_late(now_s)
        yield from self._start_waiting(now_s)
        while sum(map(len, self.queues.values())) > self._workload.max_waiting:
            max(filter(None, self.queues.values()), key=lambda queue: queue[-1]).pop()

    def _start_waiting(self, now_s: float) -> Iterator[tuple[int, int]]:
        for own, queue in self.queues.items():
            while queue:
                stream = self._choose(now_s) if own < 0 else own if self._has_room(own) else None
                if stream is None:
                    break
                yield self._start(queue.popleft(), stream)

    def _drop_late(self, now_s: float) -> None:
        for queue in self.queues.values():
            while queue and self._due_s[queue[0]] + self._workload.deadline_s <= now_s:
                queue.popleft()

    def _choose(self, now_s: float) -> int | None:
        """The stream for the next request, if it has a free slot."""
        match self._workload.deployment.dispatch:
            case "round_robin":
                stream = self._cycle[self._num_given % len(self._cycle)]
                if not self._has_room(stream):
                    return None
                self._num_given += 1
                return stream
            case "earliest_finish":
                free = [one for one in self._streams if self._has_room(one)]
                return self._earliest(free, now_s) if free else None
            case _:
                return next((one for one in self._streams if self._has_room(one)), None)

    def _earliest(self, streams: list[int], now_s: float) -> int:
        starts_s = {one: max(now_s, self._free_s[one]) for one in streams}
        best = min(streams, key=lambda one: (starts_s[one] + self._streams[one].latency_s, one))
        self._free_s[best] = starts_s[best] + self._streams[best].busiest_s
        return best

    def _has_room(self, stream: int) -> bool:
        return self.in_flight[stream] < self._streams[stream].num_slots

    def _start(self, request: int, stream: int) -> tuple[int, int]:
        self.in_flight[stream] += 1
        self._stream_of[request] = stream
        return request, stream
