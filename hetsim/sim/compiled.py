"""The compiled simulator: the same rules and the same results to the last bit as the SimPy reference, and faster.

:class:`CompiledSimulator` replaces :class:`hetsim.sim.simulate.Simulator`. It encodes a problem as arrays, adds each
new segment to them, and calls :mod:`hetsim.sim.kernel`. Schedulers that evaluate very many plans of single operators
encode the plans themselves and call :meth:`CompiledSimulator.makespans_s` or the kernel.

Importing this module does not import numba; creating a simulator does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hetsim.core.errors import PlanError
from hetsim.core.load import Load
from hetsim.core.plan import Segment
from hetsim.core.problem import Problem
from hetsim.core.timeline import Span
from hetsim.sim.kernel.arrays import Requests, Space, Tables, new_space
from hetsim.sim.segments import DurationFunction, Queues, Record, SegmentFacts
from hetsim.sim.simulate import Simulator

Floats = NDArray[np.float64]
Ints = NDArray[np.uint32]


class CompiledSimulator:
    """Simulates many plans of one problem, as :class:`hetsim.sim.simulate.Simulator` does.

    Args:
        problem: The problem. Costs are read once, so create a new simulator when the profile changes.
    """

    def __init__(self, problem: Problem) -> None:
        from hetsim.sim.kernel import many, one  # they import numba, which takes a second

        self.problem = problem
        self._run_one, self._evaluate_many = one.run, many.evaluate
        self._facts = SegmentFacts(problem)
        self._encoding = _Encoding(problem, self._facts)
        self._space: Space | None = None
        self._room = (0, 0, 0)  # number of requests, of segments and of units that fit into the space

    def run(
        self,
        queues: Queues,
        record: Record | None = None,
        *,
        load: Load | None = None,
        duration_s: DurationFunction | None = None,
    ) -> float:
        """When the last segment ends, in seconds; equal to what :meth:`hetsim.sim.simulate.Simulator.run` returns.

        ``duration_s`` is called for every request and segment before the simulation starts, so it must depend on its
        arguments alone. Spans are added to ``record`` request by request, and only if the plan can finish. A segment
        waits for ever if it reads from a later segment of its device; no valid plan has such a segment.

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
        end_s, num_left = self._run_one(tables, queue_start, queue, requests, space)
        if num_left:
            raise PlanError(f"plan can never finish: {num_left} segments wait for each other")
        if record is not None:
            self._fill(record, lists, requests.num_requests, space)
        return float(end_s)

    @property
    def tables(self) -> Tables:
        """The problem as arrays for the kernel. Operators are units ``0, 1, ...`` in the graph's order."""
        return self._encoding.tables()

    def unit(self, segment: Segment) -> int:
        """The number of a segment's operators in :attr:`tables`, which it adds if they are new.

        Raises:
            PlanError: If the device cannot run the segment as one.
        """
        return self._encoding.unit(segment)

    def makespans_s(self, queue_start: Ints, queue: Ints) -> Floats:
        """The makespan of one inference by each of many plans of single operators, in seconds.

        It is infinite if devices wait for each other for ever, or if a device cannot run one of its operators. Nothing
        else is checked.

        Args:
            queue_start: By plan and device, in the platform's order, where the device's part of the plan's row of
                ``queue`` begins; one more entry gives the end of the last part.
            queue: By plan, the operators' positions in the graph, device by device in the order of their queues.
        """
        out_s = np.empty(len(queue))
        space = self._space_for(1, queue.shape[1])
        queue_start, queue = np.ascontiguousarray(queue_start, np.uint32), np.ascontiguousarray(queue, np.uint32)
        self._evaluate_many(self.tables, queue_start, queue, space, out_s)
        return out_s

    def _requests(self, places: Sequence[Segment], load: Load | None, duration_s: DurationFunction | None) -> Requests:
        count = load.num_requests if load else 1
        seconds = demand = np.empty((0, 0))
        if duration_s is not None:
            seconds = np.array([[duration_s(request, segment) for segment in places] for request in range(count)])
            num_bytes = [self._facts.work(segment).traffic_bytes for segment in places]
            demand = self._encoding.demand(seconds, np.array(num_bytes, np.float64))
        host, graph = self.problem.platform.host, self.problem.graph
        return Requests(
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
        """Work space for the kernel, for plans of ``num_places`` segments and one request each."""
        return new_space(self.tables, 1, num_places)

    def _space_for(self, num_requests: int, num_places: int) -> Space:
        tables = self.tables
        room = max(self._room[0], num_requests), max(self._room[1], num_places), len(tables.seconds)
        if self._space is None or room != self._room:
            self._room = room
            self._space = new_space(tables, *room[:2])
        return self._space

    def _fill(self, record: Record, lists: Sequence[Sequence[Segment]], num_requests: int, space: Space) -> None:
        """Add the spans that the kernel left in its work space to the record."""
        names = self.problem.platform.device_names
        num_tensors, num_devices = len(self._encoding.tensors), len(names)
        record.arrivals_s.extend(space.by_request[0, :num_requests].tolist())
        reader: dict[tuple[str, str], Segment] = {}  # by tensor and device, the first segment that reads it there
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
    """A problem as arrays, to which each new segment adds a unit.

    Attributes:
        tensors: By tensor that an operator makes, its number.
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
        self._read_s, self._written_s = np.zeros((2, len(self.tensors), len(names)))
        if problem.sharing is not None:
            for tensor, number in self.tensors.items():
                self._read_s[number] = [problem.sharing.read_s(name, tensor) for name in names]
                self._written_s[number] = [problem.sharing.written_s(name, tensor) for name in names]
        self._any_access = problem.sharing is not None
        self._capacity = float(platform.memory.shared_bytes_per_s)
        shape = (0, len(names))
        self._seconds, self._num_bytes, self._demand = _Column(shape, 0.0), _Column(shape, 0.0), _Column(shape, 0.0)
        self._position, self._reads, self._makes = _Column((0,)), _Column((0,)), _Column((0,))
        self._reads_start, self._makes_start = _Column((1,)), _Column((1,))
        for op in graph.ops:
            for device in problem.devices_for((op.name,)):
                self.unit(Segment(device, (op.name,)))

    def unit(self, segment: Segment) -> int:
        """The unit of a segment's operators. The tables then hold the unit's cost on the segment's device.

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
        """Bytes per second of work that moves ``num_bytes`` in ``seconds`` alone; 0 if rule 3 does not apply."""
        wanted = np.zeros_like(seconds)
        moves = (seconds > 0) & (num_bytes > 0)
        return np.divide(num_bytes, seconds, out=wanted, where=moves) if self._capacity < np.inf else wanted

    def tables(self) -> Tables:
        """The problem as arrays for the kernel."""
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
            read_s=self._read_s,
            written_s=self._written_s,
            any_access=self._any_access,
            capacity_bytes_per_s=self._capacity,
            num_ops=self._num_ops,
        )


class _Column:
    """An array that grows at its end. The first ``count`` rows of ``values`` are in use."""

    def __init__(self, shape: tuple[int, ...], fill: float | None = None) -> None:
        """Rows of ``shape``: integers, at first 0, or floats, at first ``fill``."""
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
