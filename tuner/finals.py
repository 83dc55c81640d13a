"""Execute plans side by side, so that drift hits them all alike, and hold their outputs against the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

import numpy as np

from hetsim.machine.platform import Device, Memory, Platform
from hetsim.model import Model
from hetsim.plan import Plan, Segment
from hetsim.statistics import Summary, summarize
from hetsim.timeline import Timeline
from runtime import Inference, Runtime
from runtime.backends.protocol import Array
from tuner.progress import Report

TOLERANCE = {"f32": 1e-5, "f16": 1e-2, "bf16": 1e-1, "i8": 2e-1}
"""Largest error, relative to the largest value of an output, that each precision's rounding may cause."""

_WEIGHTS_AT_ONCE_BYTES = 700 * 2**20
_RUNS_PER_TURN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often plans are executed.

    Attributes:
        num_runs: Counted executions of each plan, at least 3.
        budget_s: Plans so slow that this many seconds do not suffice are executed less often, but at least six times.
    """

    num_runs: int = 30
    budget_s: float = 12.0

    def turns(self, latency_s: float) -> int:
        """How many turns of a few runs each a plan of that latency gets."""
        runs = max(6, min(self.num_runs, round(self.budget_s / latency_s)))
        return -(-runs // _RUNS_PER_TURN)


@dataclass(frozen=True, kw_only=True)
class Execution:
    """A plan's executions.

    Attributes:
        plan: The plan.
        latency: From submission to the last segment's end, over all runs.
        typical: The timeline of the run with the median latency.
        largest_error: Largest difference from the expected outputs, relative to the largest value of the output.
        hand_over_s: Medians' raw material: each hand-over for which a device sat waiting, in seconds.
    """

    plan: Plan
    latency: Summary
    typical: Timeline
    largest_error: float
    hand_over_s: tuple[float, ...]


def execute(
    runtime: Runtime,
    model: Model,
    plans: Sequence[Plan],
    inputs: Mapping[str, Array],
    expected: Mapping[str, Array],
    *,
    pace: Pace,
    report: Report,
) -> list[Execution]:
    """Run each plan many times, in turns of a few runs, the first of each turn not counted.

    Plans take turns with as many others as fit into memory; where not all fit, the whole round is gone through twice.

    Raises:
        DeviceError: If a device failed.
    """
    batches = _batches(model, plans)
    passes = 1 if len(batches) == 1 else 2
    runs: list[list[Inference]] = [[] for _ in plans]
    for number in range(passes * len(batches)):
        batch = batches[number % len(batches)]
        with ExitStack() as stack:
            sessions = {}
            for index in batch:
                report(number / (passes * len(batches)), f"compiling plan {index + 1} of {len(plans)}")
                sessions[index] = stack.enter_context(runtime.load(model, plans[index]))
            slowest_s = max(session.run(inputs).latency_s for session in sessions.values())
            num_turns = -(-pace.turns(slowest_s) // passes)
            for turn in range(num_turns):
                report((number + turn / num_turns) / (passes * len(batches)), f"turn {turn + 1} of {num_turns}")
                for index, session in sessions.items():
                    session.run(inputs)
                    runs[index] += [session.run(inputs) for _ in range(_RUNS_PER_TURN)]
    return [_conclude(plan, own, expected) for plan, own in zip(plans, runs, strict=True)]


def _batches(model: Model, plans: Sequence[Plan]) -> list[list[int]]:
    """Indices of the plans that are loaded together: their compiled weights share a budget."""
    weight_bytes = max(1, sum(op.weight_bytes for op in model.graph.ops))
    size = max(1, _WEIGHTS_AT_ONCE_BYTES // weight_bytes)
    return [list(range(start, min(start + size, len(plans)))) for start in range(0, len(plans), size)]


def _conclude(plan: Plan, runs: list[Inference], expected: Mapping[str, Array]) -> Execution:
    ordered = sorted(runs, key=lambda run: run.latency_s)
    return Execution(
        plan=plan,
        latency=summarize([run.latency_s for run in runs]),
        typical=ordered[len(ordered) // 2].timeline,
        largest_error=max(relative_error(run.outputs, expected) for run in runs),
        hand_over_s=tuple(span.duration_s for run in runs for span in run.timeline.spans if span.kind == "hand-over"),
    )


def relative_error(outputs: Mapping[str, Array], expected: Mapping[str, Array]) -> float:
    """Largest difference of any output, relative to the largest magnitude expected in it; NaN counts as infinite."""
    worst = 0.0
    for name, right in expected.items():
        scale = float(np.abs(right).max(initial=0.0)) or 1.0
        error = float(np.abs(outputs[name].astype(np.float64) - right).max(initial=0.0)) / scale
        worst = max(worst, error if np.isfinite(error) else float("inf"))
    return worst


def tolerance(platform: Platform) -> float:
    """What the least precise device may get wrong."""
    return max(TOLERANCE[device.precision] for device in platform.devices)


def engines_alone_s(
    platform: Platform, model: Model, inputs: Mapping[str, Array], *, pace: Pace, report: Report
) -> dict[str, float]:
    """Each engine alone with a thread on every core that the platform uses, by label: median latency in seconds.

    A plan that keeps several cores busy competes with this, not only with one core.

    Raises:
        DeviceError: If a device failed.
    """
    cores = tuple(sorted({core for device in platform.devices for core in device.cores}))
    alone: dict[str, float] = {}
    for number, device in enumerate(platform.devices):
        if len(device.cores) != 1 or len(cores) < 2:
            continue
        report(number / len(platform.devices), device.label)
        wide = replace(device, cores=cores, threads=len(cores))
        alone[device.label] = _single_s(platform, wide, model, inputs, pace)
    return alone


def _single_s(platform: Platform, device: Device, model: Model, inputs: Mapping[str, Array], pace: Pace) -> float:
    only = replace(platform, devices=(device,), links={}, memory=Memory(), calibration=None)
    plan = Plan(
        model=model.graph.name,
        queues={device.name: (Segment(device.name, tuple(op.name for op in model.graph.ops)),)},
    )
    with Runtime(only) as runtime, runtime.load(model, plan) as session:
        session.run(inputs)
        runs = pace.turns(session.run(inputs).latency_s) * _RUNS_PER_TURN
        return summarize([session.run(inputs).latency_s for _ in range(runs)]).median_s
