"""From operators in an order on each device to a plan: one segment each, or neighbours fused where that is no slower.

List schedulers know single operators. Where a device runs several in a row, fusing them saves launches and boundaries,
and delays nothing as long as nobody waits for what lies in between: a *run* of neighbours in a queue goes on while the
next operator reads nothing from another device and the one before made nothing for another. As one segment, a run
waits for what its first operator waits for, and other devices wait for its last operator alone. (Copies that are asked
for at the same time may then go in another order, and segments share the memory in other portions.)

So fusing runs adds no wait, and a plan that can finish still can. Runs are convex: a path that leaves one leaves from
its last operator or for a later place in the same queue, and returns to its first operator or from an earlier place;
either would close a circle of waits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hetsim.core.plan import Plan, Segment
from hetsim.core.problem import Problem
from hetsim.scheduler.segments import Queues
from hetsim.sim.simulate import Simulator

Orders = Mapping[str, Sequence[str]]
"""By device, operators in the order in which it runs them."""


def plan_from_orders(problem: Problem, scheduler: str, orders: Orders) -> Plan:
    """The plan that runs the operators in these orders: each a segment of its own, or with runs fused.

    Whichever the model says is faster; of equally fast ones that with runs fused, which has fewer segments.

    Args:
        problem: The problem.
        scheduler: Name of who chose the orders.
        orders: Every operator once, on a device that can run it; no device may wait for another in a circle.
    """
    simulator = Simulator(problem)
    single = {device: tuple(Segment(device, (op,)) for op in ops) for device, ops in orders.items()}
    fused = fused_runs(problem, orders)
    chosen = min((fused, single), key=simulator.run)
    return problem.plan(chosen, scheduler=scheduler)


def fused_runs(problem: Problem, orders: Orders) -> Queues:
    """Queues with each run as one segment; one that its device cannot run as one stays single operators."""
    graph = problem.graph
    device_of = {op: device for device, ops in orders.items() for op in ops}
    queues: Queues = {}
    for device, ops in orders.items():
        runs: list[list[str]] = []
        for op in ops:
            waits = any(device_of[before] != device for before in graph.predecessors[op])
            awaited = runs and any(device_of[after] != device for after in graph.successors[runs[-1][-1]])
            if not runs or waits or awaited:
                runs.append([])
            runs[-1].append(op)
        segments: list[Segment] = []
        for run in runs:
            together = graph.ordered(run)
            if len(run) > 1 and problem.latency(device, together) is None:
                segments.extend(Segment(device, (op,)) for op in run)
            else:
                segments.append(Segment(device, together))
        queues[device] = tuple(segments)
    return queues
