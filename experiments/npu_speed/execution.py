"""Plans for hypothetical speeds of a device, executed: the real devices beside the emulated one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hetsim.analysis.emulated import emulated_problem
from hetsim.core.plan import Plan
from hetsim.core.platform import Platform
from hetsim.core.problem import Problem
from hetsim.costs.profile import Profile
from hetsim.costs.profile_file import ProfileFile
from hetsim.models.model import Model
from hetsim.runtime import Runtime
from hetsim.runtime.emulation import Emulation, with_emulated
from hetsim.runtime.measure.profiler import make_header
from hetsim.tuner.context import TuningContext
from hetsim.tuner.options import Options, Pace
from hetsim.tuner.progress import Stages
from hetsim.tuner.steps.expected_outputs import ExpectedOutputs
from hetsim.tuner.steps.final_measurement import Execution, execute
from hetsim.tuner.target import Target


@dataclass(frozen=True, kw_only=True)
class Executed:
    """A plan that was executed at one speed.

    Attributes:
        simulated_s: From its own serial replays, and for the emulated device from the problem.
        execution: What its executions gave.
    """

    simulated_s: float
    execution: Execution


def execute_speeds(
    model: Model,
    platform: Platform,
    device: str,
    contests: Mapping[float, tuple[Problem, Sequence[Plan]]],
    folder: Path,
    *,
    expected: ExpectedOutputs,
    profile: Profile,
    pace: Pace,
    stages: Stages,
) -> dict[tuple[float, str], Executed]:
    """What plans take at each speed, the plans of one speed interleaved; by speed and plan.

    Args:
        model: The model.
        platform: The devices as measured.
        device: The one that is emulated.
        contests: By speed, the problem there and the plans to execute; at least one.
        folder: Gets a profile for each speed, which holds the serial replays.
        expected: Inputs and the outputs that they should give.
        profile: Of the devices as measured; states cross-device access costs.
        pace: How often plans are executed.
        stages: Where progress is shown.

    Raises:
        DeviceError: If a device failed.
        PlatformError: If there is no core for the emulated device.
    """
    found: dict[tuple[float, str], Executed] = {}
    some, _ = next(iter(contests.values()))
    emulation = Emulation(model=model, devices=(device,), problem=some, inputs=expected.inputs)
    emulated_platform = with_emulated(platform, [device])
    with (
        Runtime(emulated_platform) as runtime,
        stages.stage(f"execute {model.name} beside {device} (emulated)") as report,
    ):
        for number, (speed, (problem, plans)) in enumerate(contests.items()):
            start = number / len(contests)

            def part(done: float, description: str, start: float = start, speed: float = speed) -> None:
                report(start + done / len(contests), f"speed {speed:g}, {description}")

            # The outputs that were computed for one speed are right at all speeds.
            emulation = replace(emulation, problem=emulated_problem(problem, [device], profile, platform))
            path = folder / f"speed-{speed:g}.jsonl"
            path.unlink(missing_ok=True)  # serial runs belong to executions of the same run
            with ProfileFile(path, make_header(runtime, model)) as file:
                context = TuningContext(
                    runtime=runtime,
                    target=Target(
                        model=model, platform=emulated_platform, emulation=emulation, changed_problem=problem
                    ),
                    file=file,
                    expected=expected,
                    options=Options(pace=pace),
                    stages=stages,
                )
                for plan, execution in zip(plans, execute(context, plans, part), strict=True):
                    found[speed, plan.digest] = Executed(simulated_s=context.makespan_s(plan), execution=execution)
    return found
