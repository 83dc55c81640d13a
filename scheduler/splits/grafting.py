"""Splits of single runs in a plan that stays as it is elsewhere.

A plan of stages divides the network at cuts. A plan of the local search need not: it may fuse over cuts and put
branches where no stage has them. So runs are also split one by one in the best plan so far, wherever that makes it
faster.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hetsim.core.dataflow import resolve
from hetsim.core.errors import PlanError, ProblemError
from hetsim.core.plan import Plan
from hetsim.core.problem import Problem, Rewritten
from hetsim.core.timeline import Timeline
from hetsim.scheduler.segments import assignment_of, plan_from_assignment
from hetsim.scheduler.splits.placement import NAME, copying_device
from hetsim.scheduler.splits.refinement import GAIN, Refinement
from hetsim.scheduler.stages import Stage
from hetsim.sim.simulate import simulate


def grafted(problem: Problem, plan: Plan, options: Sequence[tuple[Stage, float]], refinement: Refinement) -> Plan:
    """The plan with runs split one by one, each where that ends it earlier; the plan itself if none does.

    Args:
        problem: A problem whose operators can be split.
        plan: A valid plan for it, with splits or without.
        options: Stages of parts, each with what it should take in seconds.
        refinement: Counts the tries, and says when to end; options that should gain most are tried first.
    """
    timeline = simulate(problem, plan)
    ordered = sorted(_by_gain(problem, plan, timeline, options), key=lambda entry: -entry[0])
    for gain_s, stage in ordered:
        if refinement.ended or gain_s <= 0:
            break
        taken = {op for split in plan.rewrites for op in split.ops}
        if taken.isdisjoint(stage.ops):
            refinement.num_candidates += 1
            try:
                found = with_stage(problem, plan, stage)
                found_timeline = simulate(problem, found)
            except (PlanError, ProblemError):
                continue
            if found_timeline.makespan_s < timeline.makespan_s * GAIN:
                plan, timeline = found, found_timeline
    return plan


def _by_gain(
    problem: Problem, plan: Plan, timeline: Timeline, options: Sequence[tuple[Stage, float]]
) -> list[tuple[float, Stage]]:
    """The options with what each should gain in seconds, of the time from a run's first start to its last end."""
    graph = problem.for_plan(plan).graph
    start_s: dict[str, float] = {}
    end_s: dict[str, float] = {}
    for span in timeline.compute:
        for name in span.ops:
            op = graph.by_name[name].part_of or name
            start_s[op] = min(start_s.get(op, span.start_s), span.start_s)
            end_s[op] = max(end_s.get(op, span.end_s), span.end_s)
    return [
        (max(end_s[op] for op in stage.ops) - min(start_s[op] for op in stage.ops) - seconds, stage)
        for stage, seconds in options
    ]


def with_stage(problem: Problem, plan: Plan, stage: Stage) -> Plan:
    """The plan with one more stage of parts; all other operators stay on their devices and levels.

    Parts begin segments of their own, so that none waits for what its device does before.

    Args:
        problem: A problem whose operators can be split.
        plan: A valid plan for it that splits none of the stage's operators.
        stage: The parts.

    Raises:
        PlanError: If a split is impossible.
        ProblemError: If a device cannot run its part.
    """
    found = problem.rewritten((*plan.rewrites, *stage.splits))
    device_of, level_of = assignment_of(resolve(problem.for_plan(plan).graph, plan))
    old_parts = problem.rewritten(plan.rewrites).parts if plan.rewrites else ()
    device_of = {op: device for op, device in device_of.items() if op in found.graph.by_name}
    level_of = {op: level for op, level in level_of.items() if op in found.graph.by_name}
    for ops in (part for each in found.parts[: len(old_parts)] for part in each):
        home = next(device_of[op] for op in ops if op in device_of)
        device_of |= {op: home for op in ops if op not in device_of}
    for each in found.parts[len(old_parts) :]:
        for device, ops in zip(stage.devices, each, strict=True):
            inside = frozenset(ops)
            device_of |= dict.fromkeys(ops, device)
            entries = [op for op in ops if inside.isdisjoint(found.graph.predecessors[op])]
            level_of |= dict.fromkeys(entries, 1)
    return plan_from_assignment(found.problem, NAME, _complete(found, device_of), level_of)


def _complete(found: Rewritten, device_of: Mapping[str, str]) -> dict[str, str]:
    """The devices with those of operators that join tensors, and of copies that a device leaves to another one."""
    graph, devices = found.graph, dict(device_of)
    for op in graph.ops:
        if op.name not in devices:
            readers = [devices[reader] for reader in graph.successors[op.name] if reader in devices]
            devices[op.name] = readers[0] if readers else devices[graph.predecessors[op.name][0]]
        if op.moves_data and found.problem.latency(devices[op.name], (op.name,)) is None:
            devices[op.name] = copying_device(found.problem, op.name, devices)
    return devices
