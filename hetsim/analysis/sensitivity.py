"""What a plan's latency owes to each operator, device and link: which of them, made a little faster, shortens it most.

Each is made faster alone and the same plan simulated again, so the answer is exact for the model, contention and copies
included; no derivative is taken. Most operators are beside the critical path and change nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from hetsim.analysis.critical_path import CriticalPath
from hetsim.analysis.faster import op_share, with_faster_device, with_faster_link, with_faster_memory, with_faster_op
from hetsim.core.dataflow import resolve
from hetsim.core.plan import Plan
from hetsim.core.platform import Platform
from hetsim.core.problem import Problem
from hetsim.sim.simulate import makespan_s

ChangeKind = Literal["device", "operator", "link", "memory"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One thing that could be faster.

    Attributes:
        kind: What it is. A device is all that runs on it; an operator is itself on its device, alone or in a segment;
            a link is all hand-overs one way; the memory is the bandwidth that all share.
        device: The device, or the link's receiver; empty for the memory.
        op: The operator; empty for anything else.
        source: The link's sender; empty for anything else.
    """

    kind: ChangeKind
    device: str = ""
    op: str = ""
    source: str = ""

    def label(self, platform: Platform) -> str:
        """For people; a device that is not real hardware says so."""
        if self.kind == "operator":
            return f"{self.op} on {self.device}"
        if self.kind == "link":
            return f"{self.source}->{self.device}"
        return f"all of {platform.device(self.device).label}" if self.kind == "device" else "memory"

    def applied(self, problem: Problem, factor: float) -> Problem:
        """The problem in which this is ``factor`` times as fast."""
        if self.kind == "operator":
            return with_faster_op(problem, self.device, self.op, factor)
        if self.kind == "link":
            return with_faster_link(problem, self.source, self.device, factor)
        if self.kind == "device":
            return with_faster_device(problem, self.device, factor)
        return with_faster_memory(problem, factor)


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What a change makes of a plan.

    Attributes:
        change: The change.
        makespan_s: Of the same plan after it.
        saved_s: By how much that is shorter than before; negative where a change makes a plan slower, which copies and
            contention allow.
        on_path_s: How much of the critical path, before the change, is the thing itself.
    """

    change: Change
    makespan_s: float
    saved_s: float
    on_path_s: float


def changes(problem: Problem, plan: Plan) -> tuple[Change, ...]:
    """What could be faster: devices and links that the plan uses, the memory if it can be short, every operator."""
    flow = resolve(problem.graph, plan)
    platform = problem.platform
    found = [Change(kind="device", device=name) for name in platform.device_names if name in plan.queues]
    crossed = {
        (flow.steps[maker].segment.device, step.segment.device)
        for step in flow.steps
        for _, maker in step.inputs
        if maker is not None
    }
    found += [
        Change(kind="link", source=source, device=target)
        for source in platform.device_names
        for target in platform.device_names
        if source != target and (source, target) in crossed and (source, target) in platform.links
    ]
    if problem.traffic_function is not None and platform.memory.shared_bytes_per_s < float("inf"):
        found.append(Change(kind="memory"))
    home = {op: segment.device for segment in plan.segments for op in segment.ops}
    found += [Change(kind="operator", device=home[op.name], op=op.name) for op in problem.graph.ops]
    return tuple(found)


def sensitivity(
    problem: Problem,
    plan: Plan,
    path: CriticalPath,
    *,
    factor: float,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> tuple[Effect, ...]:
    """What each of :func:`changes` makes of the plan, most saved first; ties as those are listed.

    Args:
        problem: The problem.
        plan: The plan.
        path: Its critical path.
        factor: How many times as fast, more than 0.
        progress: Told how many of how many were simulated.

    Raises:
        PlanError: If the plan is not valid for the problem.
    """
    before_s = makespan_s(problem, plan)
    listed = changes(problem, plan)

    def each() -> Iterator[Effect]:
        for number, change in enumerate(listed):
            progress(number, len(listed))
            after_s = makespan_s(change.applied(problem, factor), plan)
            yield Effect(
                change=change,
                makespan_s=after_s,
                saved_s=before_s - after_s,
                on_path_s=_on_path_s(problem, path, change),
            )

    return tuple(sorted(each(), key=lambda effect: effect.makespan_s))


def _on_path_s(problem: Problem, path: CriticalPath, change: Change) -> float:
    if change.kind == "device":
        return path.on_device_s(change.device)
    if change.kind == "link":
        return path.on_link_s(change.source, change.device)
    if change.kind == "operator":
        for span in path.spans:
            if span.kind == "compute" and span.device == change.device and change.op in span.ops:
                return span.duration_s * op_share(problem, change.device, span.ops, change.op)
    return 0.0
