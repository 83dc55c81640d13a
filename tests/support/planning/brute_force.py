"""The fastest plan of a tiny problem, by trying all plans of a stated space on the simulator."""

from __future__ import annotations

from collections.abc import Iterable

from hetsim.core.plan import Segment
from hetsim.core.problem import Problem
from hetsim.sim.simulate import Simulator

Queues = tuple[tuple[Segment, ...], ...]


def single_operators(problem: Problem) -> list[Segment]:
    """Every operator by itself, on each device that can run it."""
    return [Segment(name, (op.name,)) for op in problem.graph.ops for name in problem.devices_for((op.name,))]


def fastest_s(problem: Problem, segments: Iterable[Segment]) -> float:
    """The least makespan over every valid plan of these segments, in seconds.

    Every valid plan can be written down by adding one segment at a time to the end of a queue, each after all that it
    reads from; so all that can be written down that way are simulated, each once.
    """
    graph, names = problem.graph, problem.platform.device_names
    needs = {
        segment: frozenset(before for op in segment.ops for before in graph.predecessors[op]) - frozenset(segment.ops)
        for segment in dict.fromkeys(segments)
    }
    simulator = Simulator(problem)
    empty: Queues = ((),) * len(names)
    written: set[Queues] = set()
    waiting = [(empty, frozenset[str]())]
    best_s = float("inf")
    while waiting:
        queues, done = waiting.pop()
        if len(done) == len(graph.ops):
            best_s = min(best_s, simulator.run(dict(zip(names, queues, strict=True))))
        for segment, needed in needs.items():
            if needed <= done and done.isdisjoint(segment.ops):
                d = names.index(segment.device)
                longer = (*queues[:d], (*queues[d], segment), *queues[d + 1 :])
                if longer not in written:
                    written.add(longer)
                    waiting.append((longer, done | frozenset(segment.ops)))
    return best_s
