"""What ``hetsim run`` does: a plan on the devices, under a load, and what is shown of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path

import numpy as np

from hetsim.analysis.breakdown import device_assignments
from hetsim.analysis.scenario import Scenario
from hetsim.core.errors import DeviceError, ModelError
from hetsim.core.load import Load
from hetsim.core.plan import Plan
from hetsim.core.platform import Platform
from hetsim.core.statistics import summarize
from hetsim.io.chrome_trace import save_trace
from hetsim.io.files import write_atomically
from hetsim.models.model import Model, random_inputs
from hetsim.runtime.inference import Inference
from hetsim.runtime.measure.profiler import warm_up
from hetsim.runtime.nan import check_numbers
from hetsim.runtime.runtime import Runtime
from hetsim.runtime.serving import Served, serve
from hetsim.runtime.standby import standby, standby_plan
from hetsim.tuner.cli.screen import hypothesis, say, say_load, warn
from hetsim.tuner.cli.sources import read_plan
from hetsim.tuner.progress import Stages
from hetsim.tuner.steps.final_measurement import find_median_run
from hetsim.tuner.steps.readiness import check_machine, profile_for
from hetsim.tuner.steps.splitting.shared_runs import shared_runs
from hetsim.tuner.target import make_target


@dataclass(frozen=True)
class Executed:
    """A plan that was executed.

    Attributes:
        whole: The model as it was read.
        model: The model as it was executed, rewritten for the plan.
        plan: The plan, or the one that a device on standby executed.
        platform: The devices, as changed.
        served: What happened.
    """

    whole: Model
    model: Model
    plan: Plan
    platform: Platform
    served: Served

    @cached_property
    def median_run(self) -> Inference:
        """The inference of median latency."""
        return find_median_run(self.served.inferences)


def execute(
    whole: Model,
    platform: Platform,
    plan_file: Path,
    load: Load,
    *,
    changes: Scenario,
    profile: Path | None,
    force: bool,
    on_fault: str,
    make_inputs: Callable[[Model], Mapping[str, np.ndarray]],
    stages: Stages,
) -> Executed:
    """Execute a plan under a load; warnings are printed.

    Raises:
        HetsimError: If anything about the arguments is wrong, or a device fails and none is on standby.
    """
    found, plan = read_plan(whole, plan_file)
    given = make_inputs(found)
    measured, warnings = (None, ()) if profile is None else profile_for(found, platform, profile, force=force)
    target = make_target(found, platform, changes, profile=measured, inputs=given)
    warn((*warnings, *hypothesis(changes)))
    platform, num_slots = target.platform, load.num_slots
    check_machine(platform, stages)
    with ExitStack() as stack:
        spare = stack.enter_context(standby(platform, whole, on_fault, num_slots=num_slots)) if on_fault else None
        runtime = stack.enter_context(Runtime(platform))
        session = stack.enter_context(runtime.load(found, plan, num_slots=num_slots, emulation=target.emulation))
        try:
            warm_up(session, given)
            served = serve(session, given, load)
            check_numbers(runtime, found, plan, given, served.inferences, emulation=target.emulation)
        except DeviceError as error:
            if spare is None:
                raise
            warn([f"{error}; {on_fault!r} does it alone"])
            found, plan, served = whole, standby_plan(whole, on_fault), serve(spare, given, load)
    return Executed(whole, found, plan, platform, served)


def write_execution(executed: Executed, *, outputs: Path | None, trace: Path | None, picture: Path | None) -> None:
    """Write what is asked for of the inference of median latency."""
    run, graph = executed.median_run, executed.model.graph
    if outputs is not None:
        content = BytesIO()
        np.savez(content, allow_pickle=False, **run.outputs)
        write_atomically(outputs, content.getvalue())
    if trace is not None:
        save_trace(run.timeline, trace, platform=executed.platform, graph=graph, label="measured")
    if picture is not None:
        from hetsim.analysis.plots.timelines import draw_timelines

        draw_timelines(None, run.timeline, picture, platform=executed.platform, graph=graph, title=graph.name)


def print_execution(executed: Executed, load: Load) -> None:
    """Latencies, how the load fared, and which device ran what."""
    timeline = executed.served.timeline
    latency = summarize(timeline.latencies_s)
    say(
        f"{latency.median_s * 1e3:.2f} ms median of {latency.num_samples} "
        f"(95 % interval {latency.low_s * 1e3:.2f} - {latency.high_s * 1e3:.2f})"
    )
    say_load(timeline, load)
    model, run = executed.model, executed.median_run
    for assignment in device_assignments(
        model.graph, executed.plan, run.timeline, executed.platform, model.original_op
    ):
        say(f"  {assignment}")
    for shared in shared_runs(executed.whole, executed.plan):
        say(f"  in parts: {shared}")


def read_inputs(model: Model, path: Path | None, seed: int) -> Mapping[str, np.ndarray]:
    """Inputs from an .npz file, or random ones.

    Raises:
        ModelError: If the file cannot be read.
    """
    if path is None:
        return random_inputs(model, seed=seed)
    try:
        with np.load(path) as arrays:
            return dict(arrays)
    except (OSError, ValueError) as error:
        raise ModelError(
            f"cannot read inputs from {path}: {error}; give an .npz file with one array for each input"
        ) from None
