"""The compiled twin of the SimPy model: the same rules, the same bits, hundreds of times as fast.

:class:`CompiledSimulator` stands in for :class:`hetsim.sim.simulate.Simulator`. It keeps a problem as arrays, to which
it adds each segment that it meets, and leaves the rest to :mod:`hetsim.sim.kernel`. Whoever evaluates very many plans
of single operators encodes them in the same way and calls the kernel, or :meth:`CompiledSimulator.makespans_s`.

Importing this module does not import numba; making a simulator does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hetsim.core.errors import PlanError
from hetsim.core.load import Load
from hetsim.core.plan import Segment
from hetsim.core.problem import Problem
from hetsim.core.timeline import Span
from hetsim.sim.segments import DurationFunction, Queues, Record, SegmentFacts
from hetsim.sim.simulate import Simulator

if TYPE_CHECKING:
    from hetsim.sim.kernel.arrays import Requests, Space, Tables

Floats = NDArray[np.float64]
Ints = NDArray[np.uint32]


class CompiledSimulator:
    """Simulates many plans of one problem, as :class:`hetsim.sim.simulate.Simulator` does.

    Args:
        problem: The problem. Its costs are asked for once, so a simulator must not outlive a change of the profile.
    """

    def __init__(self, problem: Problem) -> None:
        from hetsim.sim import kernel  # imports numba, which takes a second that most commands need not pay

        self.problem = problem
        self._kernel = kernel
        self._facts = SegmentFacts(problem)
        self._encoding = _Encoding(problem, self._facts)
        self._space: Space | None = None
        self._room = (0, 0)  # requests and segments that there is space for

    def run(
        self,
        queues: Queues,
        record: Record | None = None,
        *,
        load: Load | None = None,
        duration_s: DurationFunction | None = None,
    ) -> float:
        """When the last segment ends, in seconds, as :meth:`hetsim.sim.simulate.Simulator.run` says it.

        ``duration_s`` is asked for every request and segment before the simulation starts, so that its answers must
        rest on its arguments alone. Spans go into ``record`` request by request, and only if the plan can finish. A
        segment queued before one of its own device that it reads from, which no valid plan has, waits for ever.

        Raises:
            PlanError: If a device cannot run one of its segments, or devices wait for each other for ever.
        """
        names = self.problem.platform.device_names
        lists = [queues.get(name, ()) for name in names]
        if not any(lists):
            return Simulator(self.problem).run(queues, record, load=load, duration_s=duration_s)
        places = [segment for segments in lists for segment in segments]
        queue = np.array([self._encoding.unit(segment) for segment in places], np.uint32)
        queue_start = np.cumsum([0, *map(len, lists)], dtype=np.uint32)
        tables = self.tables
        requests = self._requests(places, load, duration_s)
        space = self._space_for(requests.num_requests, len(places))
        end_s, num_left = self._kernel.run(tables, queue_start, queue, requests, space)
        if num_left:
            raise PlanError(f"plan can never finish: {num_left} segments wait for each other")
        if record is not None:
            self._fill(record, lists, requests.num_requests, space)
        return float(end_s)

    @property
    def tables(self) -> Tables:
        """The problem as the kernel takes it. Operators are units ``0, 1, ...`` in the graph's order."""
        return self._encoding.tables()

    def makespans_s(self, queue_start: Ints, queue: Ints) -> Floats:
        """The makespan of one inference by each of many plans of single operators, in seconds.

        Infinite where devices wait for each other for ever; nothing else is checked, and an operator on a device that
        cannot run it takes for ever, too.

        Args:
            queue_start: By plan and device, in the platform's order, where the device's part of its row of ``queue``
                begins; and one entry more, the end of the last.
            queue: By plan, the operators' places in the graph in the order of devices, and of each device's queue.
        """
        out_s = np.empty(len(queue))
        space = self._space_for(1, queue.shape[1])
        queue_start, queue = np.ascontiguousarray(queue_start, np.uint32), np.ascontiguousarray(queue, np.uint32)
        self._kernel.evaluate(self.tables, queue_start, queue, space, out_s)
        return out_s

    def _requests(self, places: Sequence[Segment], load: Load | None, duration_s: DurationFunction | None) -> Requests:
        count = load.num_requests if load else 1
        seconds = demand = np.empty((0, 0))
        if duration_s is not None:
            seconds = np.array([[duration_s(request, segment) for segment in places] for request in range(count)])
            num_bytes = [self._facts.work(segment).traffic_bytes for segment in places]
            demand = self._encoding.demand(seconds, np.array(num_bytes, np.float64))
        host, graph = self.problem.platform.host, self.problem.graph
        return self._kernel.Requests(
            num_requests=count,
            hosted=load is not None,
            every_s=float(load.every_s) if load else 0.0,
            num_slots=load.num_slots if load else 1,
            submit_s=host.submit_s(graph.input_bytes),
            collect_s=host.collect_s(graph.output_bytes),
            seconds=seconds,
            demand=demand,
        )

    def space(self, num_places: int) -> Space:
        """Room for the kernel to evaluate plans of so many segments, one request each, in."""
        return self._kernel.new_space(self.tables, 1, num_places)

    def _space_for(self, num_requests: int, num_places: int) -> Space:
        room = max(self._room[0], num_requests), max(self._room[1], num_places)
        if self._space is None or room != self._room:
            self._room = room
            self._space = self._kernel.new_space(self.tables, *room)
        return self._space

    def _fill(self, record: Record, lists: Sequence[Sequence[Segment]], num_requests: int, space: Space) -> None:
        """Spans from what the kernel left in its space."""
        names = self.problem.platform.device_names
        num_tensors, num_devices = len(self._encoding.tensors), len(names)
        record.arrivals_s.extend(space.by_request[0, :num_requests].tolist())
        reader: dict[tuple[str, str], Segment] = {}  # by tensor and device, the first segment that waits for it
        for name, segments in zip(names, lists, strict=True):
            for segment in segments:
                for tensor in self._facts.work(segment).reads:
                    reader.setdefault((tensor, name), segment)
        places = [segment for segments in lists for segment in segments]
        for request in range(num_requests):
            start_s, end_s = space.by_place[:, request, : len(places)].tolist()
            for place, segment in enumerate(places):
                record.spans.append(
                    Span(
                        kind="compute",
                        device=segment.device,
                        ops=segment.ops,
                        start_s=start_s[place],
                        end_s=end_s[place],
                        request=request,
                    )
                )
                for tensor in self._facts.work(segment).makes:
                    for target, name in enumerate(names):
                        consumer = reader.get((tensor, name))
                        if consumer is None or name == segment.device:
                            continue
                        transfer_s, copies = self._facts.transfer(segment.device, name, tensor)
                        begin_s, there_s = end_s[place], end_s[place] + transfer_s
                        if copies:
                            copy = (request * num_tensors + self._encoding.tensors[tensor]) * num_devices + target
                            begin_s, there_s = float(space.by_copy[0, copy]), float(space.by_copy[1, copy])
                        if there_s > begin_s:
                            record.spans.append(
                                Span(
                                    kind="hand-over",
                                    device=name,
                                    ops=consumer.ops,
                                    start_s=begin_s,
                                    end_s=there_s,
                                    tensor=tensor,
                                    source=segment.device,
                                    request=request,
                                )
                            )


class _Encoding:
    """A problem as numbers; gains a unit with each segment that is new to it.

    Attributes:
        tensors: The number of each tensor that an operator makes.
    """

    def __init__(self, problem: Problem, facts: SegmentFacts) -> None:
        graph, platform = problem.graph, problem.platform
        names = platform.device_names
        links = [[platform.link(source, target) for target in names] for source in names]
        self._facts = facts
        self._device = {name: i for i, name in enumerate(names)}
        self._num_ops = len(graph.ops)
        self._units: dict[Segment, int] = {}
        self._by_ops: dict[tuple[str, ...], int] = {}
        self.tensors = {tensor: i for i, tensor in enumerate(graph.producer)}
        self._tensor_bytes = np.array([graph.tensors[tensor].num_bytes for tensor in self.tensors], np.float64)
        setup_s = np.array([[link.setup_s for link in row] for row in links], np.float64)
        bandwidth = np.array([[link.bandwidth_bytes_per_s for link in row] for row in links], np.float64)
        self._transfer_s = np.zeros((len(self.tensors), len(names) + 1, len(names)))
        self._transfer_s[:, :-1] = setup_s + self._tensor_bytes[:, None, None] / bandwidth
        self._copies = np.array([*([link.mode == "copy" for link in row] for row in links), [False] * len(names)])
        self._any_copies = bool(self._copies.any())
        self._capacity = float(platform.memory.shared_bytes_per_s)
        shape = (0, len(names))
        self._seconds, self._num_bytes, self._demand = _Column(shape, 0.0), _Column(shape, 0.0), _Column(shape, 0.0)
        self._position, self._reads, self._makes = _Column((0,)), _Column((0,)), _Column((0,))
        self._reads_start, self._makes_start = _Column((1,)), _Column((1,))
        for op in graph.ops:
            for device in problem.devices_for((op.name,)):
                self.unit(Segment(device, (op.name,)))

    def unit(self, segment: Segment) -> int:
        """The number of a segment's operators, whose cost on its device the tables have from then on.

        Raises:
            PlanError: If the device cannot run the segment as one.
        """
        known = self._units.get(segment)
        if known is None:
            known = self._units[segment] = self._add(segment)
        return known

    def _add(self, segment: Segment) -> int:
        work = self._facts.work(segment)
        unit = self._by_ops.get(segment.ops)
        if unit is None:
            unit = self._by_ops[segment.ops] = len(self._by_ops)
            self._position.extend([work.position])
            self._reads.extend([self.tensors[tensor] for tensor in work.reads])
            self._makes.extend([self.tensors[tensor] for tensor in work.makes])
            self._reads_start.extend([self._reads.count])
            self._makes_start.extend([self._makes.count])
            self._seconds.extend([[np.inf] * len(self._device)])
            self._num_bytes.extend([[0.0] * len(self._device)])
            self._demand.extend([[0.0] * len(self._device)])
        device = self._device[segment.device]
        seconds, num_bytes = np.array([work.seconds]), np.array([work.traffic_bytes], np.float64)
        self._seconds.values[unit, device] = work.seconds
        self._num_bytes.values[unit, device] = work.traffic_bytes
        self._demand.values[unit, device] = self.demand(seconds, num_bytes)[0]
        return unit

    def demand(self, seconds: Floats, num_bytes: Floats) -> Floats:
        """What moves so many bytes in so many seconds alone demands, in bytes per second; 0 where rule 3 is idle."""
        wanted = np.zeros_like(seconds)
        moves = (seconds > 0) & (num_bytes > 0)
        return np.divide(num_bytes, seconds, out=wanted, where=moves) if self._capacity < np.inf else wanted

    def tables(self) -> Tables:
        """The problem as the kernel takes it."""
        from hetsim.sim.kernel.arrays import Tables

        return Tables(
            seconds=self._seconds.values,
            num_bytes=self._num_bytes.values,
            demand=self._demand.values,
            position=self._position.values,
            reads_start=self._reads_start.values,
            reads=self._reads.values,
            makes_start=self._makes_start.values,
            makes=self._makes.values,
            tensor_bytes=self._tensor_bytes,
            transfer_s=self._transfer_s,
            copies=self._copies,
            any_copies=self._any_copies,
            capacity_bytes_per_s=self._capacity,
            num_ops=self._num_ops,
        )


class _Column:
    """An array that grows at its end; ``values`` has room beyond ``count``."""

    def __init__(self, shape: tuple[int, ...], fill: float | None = None) -> None:
        """Zeros of ``shape``; whole numbers unless there is something to ``fill`` it with."""
        self.count = shape[0]
        self.values = np.full((64, *shape[1:]), fill or 0, np.uint32 if fill is None else np.float64)

    def extend(self, rows: Sequence[Any]) -> None:
        """Add rows at the end."""
        end = self.count + len(rows)
        if end > len(self.values):
            larger = np.empty((2 * end, *self.values.shape[1:]), self.values.dtype)
            larger[: self.count] = self.values[: self.count]
            self.values = larger
        self.values[self.count : end] = np.array(rows, self.values.dtype).reshape(-1, *self.values.shape[1:])
        self.count = end
