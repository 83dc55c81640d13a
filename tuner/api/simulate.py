"""``hetsim.simulate``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hetsim.core.load import Load
from hetsim.core.problem import Problem
from hetsim.core.timeline import Timeline
from hetsim.tuner.api.sources import to_plan, to_problem

if TYPE_CHECKING:
    from hetsim.sim.segments import DurationFunction
    from hetsim.tuner.api.sources import ModelLike, PlanLike, PlatformLike, ProfileLike, ScenarioLike


def simulate(
    source: Problem | ModelLike,
    plan: PlanLike,
    *,
    platform: PlatformLike | None = None,
    profile: ProfileLike | None = None,
    scenario: ScenarioLike = (),
    load: Load | None = None,
    duration_s: DurationFunction | None = None,
) -> Timeline:
    """The timeline of a plan by the model of docs/model.md; nothing is executed.

    >>> import hetsim
    >>> solution = hetsim.plan("squeezenet", platform="phone", scheduler="heft")
    >>> timeline = hetsim.simulate("squeezenet", solution.plan, platform="phone")
    >>> timeline.makespan_s == solution.makespan_s
    True
    >>> faster = hetsim.simulate("squeezenet", solution.plan, platform="phone", scenario="npu.speed=4")
    >>> faster.makespan_s < timeline.makespan_s
    True

    Args:
        source: A problem; or a model, the name of one of the zoo, or the path of an .onnx file.
        plan: The plan, or its file.
        platform: For a model: the devices, a built-in platform's name or a TOML file; None stands for the default.
        profile: For a model: the measurements, or their file. Serial runs of this very plan are used if it has them.
        scenario: Changes to the machine, such as ``"npu.speed=4"``.
        load: The requests; None stands for a single one at time 0.
        duration_s: From a request and a segment to its duration in seconds, instead of the problem's cost.

    Raises:
        HetsimError: If the plan is not valid for the model or was made for another one, or anything is malformed.
    """
    from hetsim.sim.simulate import simulate as simulate_problem

    found = to_plan(plan)
    problem = to_problem(source, platform=platform, profile=profile, scenario=scenario, plan=found)
    problem = problem.for_plan(found)
    return simulate_problem(problem, found.in_order(problem.graph), load=load, duration_s=duration_s)
