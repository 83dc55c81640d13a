"""The machine that plans are made for and executed on: devices that are here, some of them emulated, or all real.

A :class:`Target` answers three questions in one place, so that no command distinguishes real from emulated devices:

- *What is planned for?* :meth:`Target.problem`: on real devices, the problem that the profile gives as it stands; on
  emulated devices, the problem on the changed machine, which measurements of executions do not change.
- *What does an execution compare with?* :meth:`Target.plan_problem`: costs as one plan meets them, from its own serial
  runs where there are any. Of an emulated device, the costs that it is emulated with.
- *What does the runtime need?* :attr:`Target.platform` and :attr:`Target.emulation`, and
  :attr:`Target.serial_runs_file`, the file that serial runs go into. Serial runs beside emulated devices do not go
  into the profile, which is about the devices as they are.

``run``, ``compare`` and ``tune`` follow the same steps: measure the devices as they are (or read their profile), make
the target with the changes of ``--set``, plan for it, execute on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hetsim.analysis.emulated import emulated_plan_problem, emulated_problem
from hetsim.analysis.scenario import Scenario
from hetsim.core.errors import PlatformError, ProfileError
from hetsim.core.plan import Plan
from hetsim.core.platform import Platform
from hetsim.core.problem import Problem
from hetsim.costs.cost_model import plan_context
from hetsim.costs.problems import make_problem, plan_problem
from hetsim.costs.profile import Profile
from hetsim.costs.refusals import without_refused
from hetsim.models.model import Model
from hetsim.runtime.backends.protocol import Array
from hetsim.runtime.emulation import Emulation, with_emulated
from hetsim.runtime.outputs_ahead import EngineOutputs


@dataclass(frozen=True, kw_only=True)
class Target:
    """A machine to execute a model on.

    Made by :func:`make_target`; ``Target(model=..., platform=...)`` is the machine whose devices are all real.

    Attributes:
        model: The model, or the model that was rewritten for the one plan to execute.
        platform: The devices as the runtime drives them.
        emulation: What emulated devices take and hand out; None where all devices are real.
        changed_problem: The planning problem on the changed machine; None where all devices are real.
    """

    model: Model
    platform: Platform
    emulation: Emulation | None = None
    changed_problem: Problem | None = None

    @property
    def is_emulated(self) -> bool:
        """Whether some of the devices are emulated."""
        return self.emulation is not None

    @property
    def serial_runs_file(self) -> str:
        """Name of the file that serial runs on this machine go into."""
        return "emulated.jsonl" if self.is_emulated else "profile.jsonl"

    def problem(self, profile: Profile | None) -> Problem:
        """The problem to plan for, by what the profile of the real devices holds now.

        On emulated devices the profile only says which segments an engine has refused.

        Raises:
            ProblemError: If an operator runs on no device.
        """
        if self.changed_problem is not None:
            return without_refused(self.changed_problem, profile)
        return make_problem(self.model, self.platform, profile)

    def plan_problem(self, profile: Profile | None, plan: Plan) -> Problem:
        """The problem as the plan meets it when it is executed.

        Args:
            profile: Holds the plan's serial runs on this machine, if there are any.
            plan: The plan.

        Raises:
            PlanError: If the plan does not fit the model.
        """
        if self.emulation is None:
            return plan_problem(self.model, self.platform, profile, plan)
        if profile is None or plan_context(profile, plan) is None:
            return self.emulation.problem.for_plan(plan)
        return emulated_plan_problem(self.emulation.problem, self.emulation.devices, profile, plan)


def make_target(
    model: Model,
    platform: Platform,
    scenario: Scenario,
    *,
    profile: Profile | None,
    inputs: Mapping[str, Array],
) -> Target:
    """The machine as changed: devices that the scenario changes and devices that are not measured are emulated.

    Args:
        model: The model.
        platform: The devices as they are.
        scenario: What is changed; may be empty.
        profile: Of the devices as they are; None if none was taken. It is not needed where all devices are real.
        inputs: The inputs that emulated devices have outputs for, by tensor.

    Raises:
        PlatformError: If a change cannot be executed, or there is no core for an emulated device.
        ProfileError: If devices are emulated beside measured ones and there is no profile.
        ProblemError: If an operator can run nowhere after the changes.
    """
    check_executable(scenario)
    if not scenario and not _not_measured(platform):
        return Target(model=model, platform=platform)
    if profile is None and any(device.is_measured for device in platform.devices):
        raise ProfileError("emulated devices need --profile FILE, a profile of the devices as they are")
    real = make_problem(model, platform, profile)
    changed = scenario.problem(real)
    to_emulate = {*scenario.devices(platform), *_not_measured(changed.platform)}
    devices = tuple(name for name in changed.platform.device_names if name in to_emulate)
    return Target(
        model=model,
        platform=with_emulated(changed.platform, devices),
        emulation=Emulation(
            model=model,
            devices=devices,
            problem=emulated_problem(changed, devices, real),
            inputs=inputs,
            links=scenario.links(changed.platform),
            outputs_ahead=EngineOutputs(changed.platform) if changed.platform.paced_devices else None,
        ),
        changed_problem=changed,
    )


def check_executable(scenario: Scenario) -> None:
    """Refuse changes that cannot be emulated.

    Raises:
        PlatformError: If the memory is changed.
    """
    for change in scenario.changes:
        if change.kind == "memory":
            raise PlatformError(
                f"--set {change.description!r} can be planned for and simulated, but not executed: the memory of this "
                "machine cannot be changed"
            )


def _not_measured(platform: Platform) -> tuple[str, ...]:
    """Names of the devices whose times come from elsewhere, so that they can only be emulated."""
    return tuple(device.name for device in platform.devices if device.backend == "none" or device.is_paced)
