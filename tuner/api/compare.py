"""``hetsim.compare``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hetsim.tuner.api.sources import to_model, to_plan, to_platform, to_profile, to_scenario, to_trust
from hetsim.tuner.progress import Silent, Stages

if TYPE_CHECKING:
    from hetsim.analysis.comparison import Comparison
    from hetsim.models.values.trust import Trust
    from hetsim.tuner.api.sources import ModelLike, PlanLike, PlatformLike, ProfileLike, ScenarioLike


def compare(
    model: ModelLike,
    plan: PlanLike,
    *,
    profile: ProfileLike | None,
    platform: PlatformLike | None = None,
    scenario: ScenarioLike = (),
    inputs: Mapping[str, Any] | None = None,
    trust: Trust | None = None,
    num_requests: int = 20,
    stages: Stages | None = None,
) -> Comparison:
    """Simulate a plan, execute it, and divide the difference into parts; changed devices are emulated.

    >>> import hetsim, onnx
    >>> net = onnx.parser.parse_model(
    ...     '<ir_version: 8, opset_import: ["": 17]> net (float[1, 8] x) => (float[1, 8] y) { t = Abs(x) y = Neg(t) }'
    ... )
    >>> model = hetsim.import_model(net, name="net")
    >>> desk = hetsim.Platform(name="desk", devices=(hetsim.Device(name="cpu", kind="cpu", backend="fake"),))
    >>> measured = hetsim.profile(model, platform=desk, effort=hetsim.Effort(repeats=3, warm_ups=1))
    >>> plan = hetsim.plan(model, platform=desk, profile=measured, scheduler="heft").plan
    >>> found = hetsim.compare(model, plan, platform=desk, profile=measured, num_requests=3)
    >>> sorted(found.parts_s)
    ['compute', 'contention', 'hand-over', 'launch', 'waiting']

    Args:
        model: The model, the name of one of the zoo, or the path of an .onnx file.
        plan: The plan, or its file.
        profile: The measurements that the simulation rests on, or their file; None if no device is measured.
        platform: The devices, a built-in platform's name or a TOML file; None stands for the default.
        scenario: Changes to the machine, such as ``"npu.speed=4"``.
        inputs: The model's inputs by tensor; None stands for random ones.
        trust: What is assumed of inputs and accepted of devices; None stands for finite floats and confirmed devices.
        num_requests: Inferences to execute; the median one is compared.
        stages: Where progress is shown; None shows nothing.

    Raises:
        HetsimError: If anything about the arguments is wrong, or a device fails.
    """
    from hetsim.analysis.comparison import compare as compare_timelines
    from hetsim.models.model import random_inputs
    from hetsim.models.split.planned import planned_model
    from hetsim.runtime.measure.profiler import warm_up
    from hetsim.runtime.runtime import Runtime
    from hetsim.sim.simulate import simulate
    from hetsim.tuner.steps.final_measurement import find_median_run
    from hetsim.tuner.steps.readiness import check_machine
    from hetsim.tuner.target import make_target

    base, found, devices = to_model(model), to_plan(plan), to_platform(platform)
    planned = planned_model(base, found)
    believed = to_trust(base, trust, inputs)
    found = found.in_order(planned.graph)
    given = random_inputs(planned, trust=believed) if inputs is None else inputs
    measured = to_profile(profile, base, devices)
    target = make_target(planned, devices, to_scenario(scenario), profile=measured, inputs=given)
    simulated = simulate(target.plan_problem(measured, found), found)
    check_machine(target.platform, stages or Silent())
    with (
        Runtime(target.platform, trust=believed) as runtime,
        runtime.load(planned, found, emulation=target.emulation) as session,
    ):
        warm_up(session, given)
        median_run = find_median_run([session.run(given) for _ in range(num_requests)])
    return compare_timelines(planned.graph, found, simulated, median_run.timeline, target.platform)
