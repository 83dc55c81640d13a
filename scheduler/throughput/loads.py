"""What a request by a plan takes of each resource: of every device, the channel, the memory and the host.

With enough requests in flight, order and delays do not matter in the long run, but no resource can do more than it has
capacity for. A device works one second a second. So does the memory channel, which copies hold, if some link copies.
The memory moves ``shared_bytes_per_s``, and a device that would move more takes longer; what takes no time moves
nothing, as in the simulator. The host submits and collects.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hetsim.core.plan import Plan
from hetsim.core.problem import Problem

Floats = NDArray[np.float64]

CHANNEL, MEMORY, HOST = "memory channel", "memory bandwidth", "host"


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What requests share.

    Attributes:
        names: The devices in the platform's order, then those of :data:`CHANNEL`, :data:`MEMORY` and :data:`HOST` that
            are limited.
        capacities: By resource, what there is of it per second: seconds, or bytes of :data:`MEMORY`.
    """

    names: tuple[str, ...]
    capacities: Floats

    def add(self, load: Floats, name: str, amount: float) -> None:
        """Add an amount of a resource to a load, if the resource is limited."""
        if name in self.names:
            load[..., self.names.index(name)] += amount


def resources(problem: Problem) -> Resources:
    """The resources of a problem's platform."""
    platform, graph = problem.platform, problem.graph
    host_s = platform.host.submit_s(graph.input_bytes) + platform.host.collect_s(graph.output_bytes)
    copies = any(link.mode == "copy" for link in platform.links.values())
    limits = dict.fromkeys(platform.device_names, 1.0)
    if copies:
        limits[CHANNEL] = 1.0
    if platform.memory.shared_bytes_per_s < math.inf and (copies or problem.traffic_function is not None):
        limits[MEMORY] = platform.memory.shared_bytes_per_s
    if host_s > 0:
        limits[HOST] = 1.0
    return Resources(names=tuple(limits), capacities=np.array(list(limits.values())))


def loads(problem: Problem, plan: Plan) -> Floats:
    """By resource of :func:`resources`, what one request by a plan takes: seconds, or bytes of the memory.

    Infinite where a device cannot run one of its segments.

    Args:
        problem: The problem; for a plan with splits it is rewritten with them.
        plan: A valid plan.

    Raises:
        PlanError: If the plan has splits, and they are impossible.
    """
    kinds = resources(problem)
    problem = problem.for_plan(plan)
    platform, graph = problem.platform, problem.graph
    load = np.zeros(len(kinds.names))
    limit = platform.memory.shared_bytes_per_s
    for segment, seconds in problem.segment_times_s(plan.segments).items():
        num_bytes = problem.traffic_bytes(segment.device, segment.ops) if 0 < seconds < math.inf else 0
        kinds.add(load, segment.device, max(seconds, num_bytes / limit))
        kinds.add(load, MEMORY, num_bytes)
    for source, target, tensor in _copies(problem, plan):
        kinds.add(load, CHANNEL, problem.transfer_s(source, target, tensor))
        kinds.add(load, MEMORY, graph.tensors[tensor].num_bytes)
    kinds.add(load, HOST, platform.host.submit_s(graph.input_bytes) + platform.host.collect_s(graph.output_bytes))
    return load


def copy_s(problem: Problem, source: str, target: str, tensor: str) -> float:
    """Seconds for which a tensor takes the memory channel; 0 if its link does not copy, or within a device."""
    if source == target or problem.platform.link(source, target).mode != "copy":
        return 0.0
    return problem.transfer_s(source, target, tensor)


def _copies(problem: Problem, plan: Plan) -> list[tuple[str, str, str]]:
    """The copies that a plan makes: from which device to which one, and of which tensor; once for each receiver."""
    if CHANNEL not in resources(problem).names:
        return []
    graph = problem.graph
    home = {op: segment.device for segment in plan.segments for op in segment.ops}
    found = {
        (home[graph.producer[tensor]], home[op.name], tensor): None
        for op in graph.ops
        for tensor in op.inputs
        if tensor in graph.producer
    }
    return [(source, target, tensor) for source, target, tensor in found if copy_s(problem, source, target, tensor) > 0]
