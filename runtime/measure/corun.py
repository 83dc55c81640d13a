"""Co-runs: how fast each device proceeds while all devices access the memory at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hetsim.core.plan import Plan, Segment
from hetsim.costs.profile import CoRun
from hetsim.costs.profile_file import ProfileFile
from hetsim.costs.traffic import memory_bound_ops
from hetsim.models.model import Model, random_inputs
from hetsim.models.segments.parts import side_by_side
from hetsim.runtime.inference import Inference
from hetsim.runtime.measure.profiler import Progress, warm_up
from hetsim.runtime.runtime import Runtime
from hetsim.runtime.worker_pool import RefusedError


@dataclass(frozen=True, kw_only=True)
class SideBySide:
    """Runs of several segments, one on each device.

    Attributes:
        model: The model that was run.
        plan: Its plan.
        alone: Serial runs, one segment at a time.
        together: Parallel runs, each after a serial one.
    """

    model: Model
    plan: Plan
    alone: tuple[Inference, ...]
    together: tuple[Inference, ...]


def run_side_by_side(
    runtime: Runtime, model: Model, parts: Mapping[str, tuple[str, ...]], *, num_runs: int
) -> SideBySide:
    """Run a segment on each device, alternately one after the other and all at once.

    Args:
        runtime: The devices.
        model: The model that the segments come from.
        parts: By device, a segment's operators in topological order.
        num_runs: Number of serial runs and of parallel runs.

    Raises:
        RefusedError: If an engine does not support its segment.
        DeviceError: If a device failed.
    """
    pair = side_by_side(model, list(parts.values()))
    plan = Plan(
        model=pair.model.name,
        queues={device: (Segment(device, ops),) for device, ops in zip(parts, pair.ops, strict=True)},
    )
    inputs = random_inputs(pair.model)
    alone, together = [], []
    with runtime.load(pair.model, plan, probe=False) as session:
        warm_up(session, inputs)
        for _ in range(num_runs):
            alone.append(session.run(inputs, serial=True))
            together.append(session.run(inputs))
    return SideBySide(model=pair.model, plan=plan, alone=tuple(alone), together=tuple(together))


def profile_traffic(runtime: Runtime, model: Model, file: ProfileFile, *, num_runs: int, progress: Progress) -> None:
    """Run each memory-bound operator on all devices at once, and record how fast each device proceeds.

    Args:
        runtime: The devices.
        model: The model.
        file: Its profile, with single operators measured; gets the co-runs that it lacks.
        num_runs: Number of co-runs of each operator.
        progress: Told how much of the work is done, and what comes next.

    Raises:
        DeviceError: If a device failed.
    """
    names = runtime.platform.device_names
    wanted = memory_bound_ops(file.profile, model.graph, runtime.platform)
    missing = [op for op in wanted if not all(file.profile.co_run(name, (op,)) for name in names)]
    for number, op in enumerate(missing):
        progress(number / len(missing), f"{op} on all devices at once")
        try:
            found = run_side_by_side(runtime, model, dict.fromkeys(names, (op,)), num_runs=num_runs)
        except RefusedError:
            continue  # an engine does not support the operator
        for device, speeds in co_run_speeds(found).items():
            file.add(CoRun(device=device, ops=(op,), num_devices=len(names), speeds=speeds))


def co_run_speeds(found: SideBySide) -> dict[str, tuple[float, ...]]:
    """By device, its speed in each co-run while another device was running, as a fraction of its speed alone.

    A segment takes ``d`` alone and took ``t``, of which ``o`` overlapped with others. It ran at full speed for
    ``t - o``, so it did ``d - (t - o)`` of its work during ``o``.
    """
    alone_s = np.median([one.durations_s for one in found.alone], axis=0)
    speeds: dict[str, list[float]] = {}
    for run in found.together:
        starts, ends = run.stamps_ns[:, 0] * 1e-9, run.stamps_ns[:, 1] * 1e-9
        for i, step in enumerate(run.flow.steps):
            others = [k for k in range(len(starts)) if k != i]
            begin, end = max(starts[i], starts[others].min()), min(ends[i], ends[others].max())
            overlap_s = end - begin
            if overlap_s > 0:
                left_s = alone_s[i] - (run.durations_s[i] - overlap_s)
                speeds.setdefault(step.segment.device, []).append(float(np.clip(left_s / overlap_s, 0.01, 1.0)))
    return {device: tuple(found) for device, found in speeds.items()}
