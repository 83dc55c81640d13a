"""Machines that nobody has, executed: changed devices are emulated beside those that are here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hetsim.analysis.emulated import make_emulation_problem, replayed_problem
from hetsim.analysis.scenario import Scenario
from hetsim.core.errors import PlatformError
from hetsim.core.plan import Plan
from hetsim.core.platform import Platform
from hetsim.core.problem import Problem
from hetsim.costs.problems import make_problem, plan_context
from hetsim.costs.profile import Profile
from hetsim.models.onnx_import import Model
from hetsim.runtime.backends.protocol import Array
from hetsim.runtime.emulation import Emulation, with_emulated


@dataclass(frozen=True, kw_only=True)
class Hypothetical:
    """A changed machine, ready to be executed.

    Attributes:
        platform: With the changed devices emulated.
        problem: The problem to plan for, with all rules of the model.
        acted: What of it is acted out, and can be compared with executions.
        emulation: What emulated devices take and hand out.
    """

    platform: Platform
    problem: Problem
    emulation_problem: Problem
    emulation: Emulation

    def plan_problem(self, replays: Profile, plan: Plan) -> Problem:
        """The acted problem as a plan meets it: real devices take what they took in its serial replays, if any."""
        if plan_context(replays, plan) is None:
            return self.emulation_problem
        return replayed_problem(self.emulation_problem, self.emulation.devices, replays, plan)


def check_executable(scenario: Scenario) -> None:
    """Refuse what cannot be acted out.

    Raises:
        PlatformError: If the memory is changed.
    """
    for change in scenario.changes:
        if change.kind == "memory":
            raise PlatformError(
                f"--set {change.description!r} can be planned for and simulated, but not executed on the memory that "
                f"is here"
            )


def without_engine(platform: Platform) -> tuple[str, ...]:
    """Names of the devices that nothing here drives, whose times come from elsewhere: they can only be emulated."""
    return tuple(device.name for device in platform.devices if device.backend == "none")


def hypothetical(
    model: Model, platform: Platform, profile: Profile | None, scenario: Scenario, inputs: Mapping[str, Array]
) -> Hypothetical:
    """The machine as changed, for execution with these inputs.

    Args:
        model: The model.
        platform: The devices as they are.
        profile: Of those among them that are measured; None where there are none.
        scenario: What is changed; devices without an engine are emulated besides.
        inputs: The model's inputs by tensor.

    Raises:
        PlatformError: If a change cannot be executed, or there is no core for an emulated device.
        ProblemError: If an operator can run nowhere any more.
    """
    check_executable(scenario)
    problem = scenario.problem(make_problem(model, platform, profile))
    changed = (*scenario.devices(platform), *without_engine(problem.platform))
    devices = tuple(name for name in problem.platform.device_names if name in changed)
    emulation_problem = make_emulation_problem(problem, devices, profile, platform)
    return Hypothetical(
        platform=with_emulated(problem.platform, devices),
        problem=problem,
        emulation_problem=emulation_problem,
        emulation=Emulation(
            model=model,
            devices=devices,
            problem=emulation_problem,
            inputs=inputs,
            links=scenario.links(problem.platform),
        ),
    )
