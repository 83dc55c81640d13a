"""Execution of plans for hypothetical speeds of a device, which is emulated beside the real devices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hetsim.analysis.emulated import emulated_problem
from hetsim.core.plan import Plan
from hetsim.core.platform import Platform
from hetsim.core.problem import Problem
from hetsim.costs.problems import make_problem
from hetsim.costs.profile import Profile
from hetsim.costs.profile_file import ProfileFile
from hetsim.models.model import Model
from hetsim.runtime import Runtime
from hetsim.runtime.emulation import Emulation, with_emulated
from hetsim.runtime.measure.profiler import make_header
from hetsim.tuner.context import TuningContext
from hetsim.tuner.options import Options, Pace
from hetsim.tuner.progress import Report, Stages
from hetsim.tuner.steps.expected_outputs import ExpectedOutputs
from hetsim.tuner.steps.final_measurement import Execution, execute
from hetsim.tuner.target import Target


@dataclass(frozen=True, kw_only=True)
class SpeedPlans:
    """Plans to execute at one speed.

    Attributes:
        speed: The speed, relative to the device as measured.
        problem: The planning problem at this speed.
        plans: The plans.
    """

    speed: float
    problem: Problem
    plans: Sequence[Plan]


@dataclass(frozen=True, kw_only=True)
class Executed:
    """A plan that was executed at one speed.

    Attributes:
        simulated_s: Simulated latency. Costs of real devices come from the plan's own serial replays, those of the
            emulated device from the problem.
        execution: Measurements of the plan's executions.
    """

    simulated_s: float
    execution: Execution


def execute_speeds(
    model: Model,
    platform: Platform,
    device: str,
    speeds: Sequence[SpeedPlans],
    folder: Path,
    *,
    expected: ExpectedOutputs,
    profile: Profile,
    pace: Pace,
    stages: Stages,
) -> dict[tuple[float, str], Executed]:
    """By speed and plan, the execution of the plan; the plans of one speed are executed in interleaved rounds.

    Args:
        model: The model.
        platform: The devices as measured.
        device: The device that is emulated.
        speeds: The plans of each speed; at least one speed.
        folder: Gets a profile for each speed, which holds the serial replays.
        expected: Inputs and the outputs that they should give.
        profile: The profile of the devices as measured, which gives the cross-device access costs.
        pace: How often plans are executed.
        stages: Where progress is shown.

    Raises:
        DeviceError: If a device failed.
        PlatformError: If there is no core for the emulated device.
    """
    found: dict[tuple[float, str], Executed] = {}
    emulation = Emulation(model=model, devices=(device,), problem=speeds[0].problem, inputs=expected.inputs)
    emulated = with_emulated(platform, [device])
    real = make_problem(model, platform, profile)
    with (
        Runtime(emulated) as runtime,
        stages.stage(f"execute {model.name} beside {device} (emulated)") as report,
    ):
        for number, group in enumerate(speeds):
            # The emulation of another speed reuses the outputs that were computed for the first one.
            emulation = replace(emulation, problem=emulated_problem(group.problem, [device], real))
            target = Target(model=model, platform=emulated, emulation=emulation, changed_problem=group.problem)
            path = folder / f"speed-{group.speed:g}.jsonl"
            path.unlink(missing_ok=True)  # serial runs belong to executions of the same run
            with ProfileFile(path, make_header(runtime, model)) as file:
                context = TuningContext(
                    runtime=runtime,
                    target=target,
                    file=file,
                    expected=expected,
                    options=Options(pace=pace),
                    stages=stages,
                )
                executions = execute(context, group.plans, _report_of_speed(report, group.speed, number, len(speeds)))
                for plan, execution in zip(group.plans, executions, strict=True):
                    found[group.speed, plan.digest] = Executed(
                        simulated_s=context.makespan_s(plan), execution=execution
                    )
    return found


def _report_of_speed(report: Report, speed: float, number: int, num_speeds: int) -> Report:
    """A report of the progress within one speed, as part of the progress over all speeds."""

    def report_part(done: float, text: str) -> None:
        report((number + done) / num_speeds, f"speed {speed:g}, {text}")

    return report_part
