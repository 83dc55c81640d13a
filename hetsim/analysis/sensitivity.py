"""How a plan's latency depends on each operator, device and link: which of them, made faster, shortens it most.

Each of them is a :class:`~hetsim.analysis.scenario.Scenario` of one change, such as ``npu.speed=1.1``, and the same
plan is simulated in it. So the answer is exact for the model, contention and copies included, and equal to that of
``--set``; no derivative is taken. Most operators are beside the critical path and change nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from hetsim.analysis.change import Change, faster_device, faster_link, faster_memory
from hetsim.analysis.changed_costs import arithmetic_shares
from hetsim.analysis.critical_path import CriticalPath
from hetsim.analysis.scenario import Scenario
from hetsim.core.dataflow import Access, resolve
from hetsim.core.plan import Plan, Segment
from hetsim.core.problem import Problem
from hetsim.sim.simulate import makespan_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What a scenario makes of a plan.

    Attributes:
        scenario: The one change.
        makespan_s: Makespan of the same plan in the scenario, in seconds.
        saved_s: By how much that is shorter than before; negative where the plan becomes slower, which copies and
            contention allow.
        on_path_s: How many seconds of the critical path, before the change, the change makes faster: arithmetic of a
            device or an operator without launches and cross-device access, or hand-overs of a link and what its ends
            take longer for them; 0 for the memory.
    """

    scenario: Scenario
    makespan_s: float
    saved_s: float
    on_path_s: float

    @property
    def change(self) -> Change:
        """The change."""
        return self.scenario.changes[0]


def faster_scenarios(problem: Problem, plan: Plan, factor: float) -> tuple[Scenario, ...]:
    """What could be ``factor`` times as fast, one scenario each.

    First the devices that the plan uses, then the links that it uses, the memory if it can be a bottleneck, and every
    operator on the device that runs it.
    """
    problem = problem.for_plan(plan)
    flow = resolve(problem.graph, plan)
    platform = problem.platform
    changes = [faster_device(name, factor) for name in platform.device_names if name in plan.queues]
    used = {
        (flow.steps[maker].segment.device, step.segment.device)
        for step in flow.steps
        for _, maker in step.inputs
        if maker is not None
    }
    changes += [
        faster_link(source, target, factor)
        for source in platform.device_names
        for target in platform.device_names
        if source != target and (source, target) in used and (source, target) in platform.links
    ]
    if problem.traffic_function is not None and platform.memory.shared_bytes_per_s < math.inf:
        changes.append(faster_memory(factor))
    device_of = {op: segment.device for segment in plan.segments for op in segment.ops}
    changes += [faster_device(device_of[op.name], factor, op=op.name) for op in problem.graph.ops]
    return tuple(Scenario((change,)) for change in changes)


def sensitivity(
    problem: Problem,
    plan: Plan,
    path: CriticalPath,
    *,
    factor: float,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> tuple[Effect, ...]:
    """What each of :func:`faster_scenarios` makes of the plan, most saved first; ties in the order of that list.

    Args:
        problem: The problem.
        plan: The plan.
        path: Its critical path.
        factor: How many times as fast each thing is made, more than 0.
        progress: Called with the number of scenarios that are simulated and the number of all.

    Raises:
        PlanError: If the plan is not valid for the problem.
    """
    problem = problem.for_plan(plan)
    before_s = makespan_s(problem, plan)
    accesses = problem.accesses(plan.segments)
    scenarios = faster_scenarios(problem, plan, factor)

    def effects() -> Iterator[Effect]:
        for number, scenario in enumerate(scenarios):
            progress(number, len(scenarios))
            after_s = makespan_s(scenario.problem(problem), plan)
            yield Effect(
                scenario=scenario,
                makespan_s=after_s,
                saved_s=before_s - after_s,
                on_path_s=_on_path_s(problem, path, accesses, scenario.changes[0]),
            )

    return tuple(sorted(effects(), key=lambda effect: effect.makespan_s))


def _on_path_s(
    problem: Problem, path: CriticalPath, accesses: Mapping[Segment, tuple[Access, ...]], change: Change
) -> float:
    if change.kind == "link":
        source, target = change.devices
        access_s = sum(
            access.seconds
            for segment in path.segments
            for access in accesses[segment]
            if segment.device == (source if access.is_made else target)
        )
        num_others = len(problem.platform.devices) - 1  # a device pays the mean over its links to these
        return path.on_link_s(source, target) + access_s / num_others
    if change.kind != "device":
        return 0.0
    launch_s = problem.platform.device(change.target).launch_s
    total_s = 0.0
    for span in path.spans:
        if span.kind == "compute" and span.device == change.target and (not change.op or change.op in span.ops):
            share = 1.0
            if change.op:
                share = arithmetic_shares(problem, span.device, span.ops)[span.ops.index(change.op)]
            access_s = sum(access.seconds for access in accesses[Segment(span.device, span.ops)])
            total_s += max(span.duration_s - access_s - launch_s, 0.0) * share
    return total_s
