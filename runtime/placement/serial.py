"""A plan as an engine executes it that runs one part after the other: simulated, without overlap."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from hetsim.core.errors import PlanError
from hetsim.core.graph import Graph
from hetsim.core.plan import Plan, Segment
from hetsim.core.platform import Device, Platform
from hetsim.core.problem import Latency
from hetsim.core.timeline import Timeline
from hetsim.costs.problems import plan_problem
from hetsim.costs.profile import Profile
from hetsim.models.model import Model
from hetsim.sim.simulate import simulate


@dataclass(frozen=True, kw_only=True)
class Part:
    """Operators that an engine runs in one go.

    Attributes:
        place: Where, in the engine's own words.
        ops: The operators, in topological order.
    """

    place: str
    ops: tuple[str, ...]


def serial_parts(graph: Graph, places: Mapping[str, str]) -> tuple[Part, ...]:
    """The graph in parts that can run one after the other, each as long as possible.

    A part goes on while an operator of its place is ready; then one begins at the place of the first operator that is
    ready, by the graph's order.

    Args:
        graph: The graph.
        places: By operator, where it runs.
    """
    waiting = {op.name: len(graph.predecessors[op.name]) for op in graph.ops}
    ready = [op.name for op in graph.ops if not waiting[op.name]]
    parts: list[Part] = []
    while ready:
        place = places[ready[0]]
        ops: list[str] = []
        while here := [op for op in ready if places[op] == place]:
            ops.append(here[0])
            ready.remove(here[0])
            for after in graph.successors[here[0]]:
                waiting[after] -= 1
                if not waiting[after]:
                    ready.append(after)
            ready.sort(key=graph.position.__getitem__)
        parts.append(Part(place=place, ops=graph.ordered(tuple(ops))))
    return tuple(parts)


def serial_timeline(
    model: Model, platform: Platform, profile: Profile, plan: Plan, parts: tuple[Part, ...], devices: Mapping[str, str]
) -> Timeline:
    """The simulated timeline of the parts one after the other, at the times of the devices that run them.

    A part on another device than the one before waits for the link between them.

    Args:
        model: The imported model.
        platform: The devices.
        profile: Their measurements.
        plan: The plan, whose splits the model is rewritten with.
        parts: All operators of the rewritten model, in parts.
        devices: By place, the device of the platform whose measurements tell its times.

    Raises:
        PlanError: If a device cannot run a part.
    """
    segments = [Segment(devices[part.place], part.ops) for part in parts]
    queues = {name: tuple(one for one in segments if one.device == name) for name in platform.device_names}
    executed = replace(plan, queues=queues)
    problem = plan_problem(model, platform, profile, executed)
    times_s = problem.segment_times_s(segments)
    for segment in segments:
        if not math.isfinite(times_s[segment]):
            raise PlanError(
                f"device {segment.device!r} cannot run {problem.graph.label(segment.ops)!r} as one segment, by its "
                "profile"
            )
    known: dict[tuple[str, ...], Latency] = {}
    for before, segment in zip([segments[0], *segments], segments, strict=False):
        setup_s = platform.link(before.device, segment.device).setup_s
        known[segment.ops] = Latency(times_s[segment] + setup_s)
    home = {op: segment.device for segment in segments for op in segment.ops}
    engine = Device(name="engine", kind="cpu", backend="none", nature="hypothetical")
    serial = replace(
        problem,
        platform=Platform(name="engine", devices=(engine,)),
        latency_function=lambda _, ops: known.get(ops) or problem.latency(home[ops[0]], ops),
        traffic_function=None,
        sharing=None,
        additive=False,
        splitting=None,
        _known={},
    )
    queue = tuple(Segment("engine", segment.ops) for segment in segments)
    return simulate(serial, serial.plan({"engine": queue}))
