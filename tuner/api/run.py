"""``hetsim.run``."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from hetsim.core.errors import DeviceError
from hetsim.core.interface.notebook import html_table
from hetsim.core.load import Load
from hetsim.core.plan import Plan
from hetsim.core.platform import Platform
from hetsim.core.statistics import Summary, summarize
from hetsim.core.timeline import Timeline
from hetsim.tuner.api.sources import to_model, to_plan, to_platform, to_profile, to_scenario, to_trust
from hetsim.tuner.progress import Silent, Stages

if TYPE_CHECKING:
    from hetsim.models.model import Model
    from hetsim.models.values.trust import Trust
    from hetsim.runtime.backends.protocol import Array
    from hetsim.runtime.inference import Inference
    from hetsim.runtime.serving.load import Served
    from hetsim.tuner.api.sources import ModelLike, PlanLike, PlatformLike, ProfileLike, ScenarioLike
    from hetsim.tuner.target import Target


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """A plan that was executed.

    Attributes:
        base: The model as it was given.
        model: The model as it was executed, rewritten for the plan.
        plan: The plan; if a device on standby took over, the one that it executed.
        platform: The devices, as changed.
        served: All inferences.
        warnings: What went otherwise than asked.
    """

    base: Model
    model: Model
    plan: Plan
    platform: Platform
    served: Served
    warnings: tuple[str, ...] = ()

    @property
    def latency(self) -> Summary:
        """Latencies of all requests."""
        return summarize(self.served.timeline.latencies_s)

    @cached_property
    def median_run(self) -> Inference:
        """The inference that is nearest to the medians of all starts and ends."""
        from hetsim.tuner.steps.final_measurement import find_median_run

        return find_median_run(self.served.inferences)

    @property
    def timeline(self) -> Timeline:
        """The timeline of the median run."""
        return self.median_run.timeline

    @property
    def outputs(self) -> Mapping[str, Array]:
        """The outputs of the median run by tensor."""
        return self.median_run.outputs

    def __repr__(self) -> str:
        latency = self.latency
        return (
            f"<RunResult of {self.model.name!r} on {self.platform.name}: {latency.num_samples} requests, "
            f"median {latency.median_s * 1e3:.2f} ms>"
        )

    def _repr_html_(self) -> str:
        latency = self.latency
        row = [f"{value * 1e3:.3f}" for value in (latency.median_s, latency.low_s, latency.high_s)]
        columns = ("requests", "median, ms", "95 % interval from, ms", "to, ms")
        return html_table(columns, [(str(latency.num_samples), *row)]) + self.timeline._repr_html_()


def run(
    model: ModelLike,
    plan: PlanLike,
    *,
    platform: PlatformLike | None = None,
    profile: ProfileLike | None = None,
    scenario: ScenarioLike = (),
    inputs: Mapping[str, Any] | None = None,
    trust: Trust | None = None,
    seed: int = 0,
    load: Load | None = None,
    on_fault: str = "",
    stages: Stages | None = None,
) -> RunResult:
    """Execute a plan on the devices; devices that the scenario changes and hypothetical devices are emulated.

    >>> import hetsim, onnx
    >>> net = onnx.parser.parse_model(
    ...     '<ir_version: 8, opset_import: ["": 17]> net (float[1, 8] x) => (float[1, 8] y) { t = Abs(x) y = Neg(t) }'
    ... )
    >>> model = hetsim.import_model(net, name="net")
    >>> desk = hetsim.Platform(name="desk", devices=(hetsim.Device(name="cpu", kind="cpu", backend="fake"),))
    >>> ops = tuple(op.name for op in model.graph.ops)
    >>> plan = hetsim.Plan(model="net", queues={"cpu": (hetsim.Segment("cpu", ops),)})
    >>> result = hetsim.run(model, plan, platform=desk, load=hetsim.Load(num_requests=3))
    >>> result.latency.num_samples, result.outputs["y"].shape
    (3, (1, 8))

    Args:
        model: The model, the name of one of the zoo, or the path of an .onnx file.
        plan: The plan, or its file.
        platform: The devices, a built-in platform's name or a TOML file; None stands for the default.
        profile: Measurements of the devices as they are, or their file; only emulated devices need it.
        scenario: Changes to the machine, such as ``"npu.speed=4"``.
        inputs: The model's inputs by tensor; None stands for random ones.
        trust: What is assumed of inputs and accepted of devices; None stands for finite floats and confirmed devices.
        seed: Seed of random inputs.
        load: The requests; None stands for 20, one after the other.
        on_fault: Name of the device that takes over if another one fails; empty for none.
        stages: Where progress is shown; None shows nothing.

    Raises:
        HetsimError: If anything about the arguments is wrong, or a device fails and none is on standby.
    """
    from hetsim.models.model import random_inputs
    from hetsim.models.split.planned import planned_model
    from hetsim.tuner.steps.readiness import check_machine
    from hetsim.tuner.target import make_target

    base, found = to_model(model), to_plan(plan)
    planned = planned_model(base, found)
    found = found.in_order(planned.graph)
    believed = to_trust(base, trust, inputs)
    given = random_inputs(planned, seed=seed, trust=believed) if inputs is None else inputs
    devices = to_platform(platform)
    measured = to_profile(profile, base, devices)
    target = make_target(planned, devices, to_scenario(scenario), profile=measured, inputs=given)
    check_machine(target.platform, stages or Silent())
    return _execute(base, target, found, given, load or Load(num_requests=20), on_fault, believed)


def _execute(
    base: Model,
    target: Target,
    plan: Plan,
    inputs: Mapping[str, Array],
    load: Load,
    on_fault: str,
    trust: Trust,
) -> RunResult:
    """Serve the requests, on the device on standby if another one fails."""
    from hetsim.runtime.faults.nan import check_numbers
    from hetsim.runtime.faults.standby import standby, standby_plan
    from hetsim.runtime.measure.profiler import warm_up
    from hetsim.runtime.runtime import Runtime
    from hetsim.runtime.serving.load import serve

    model, platform, num_slots = target.model, target.platform, load.num_slots
    warnings: tuple[str, ...] = ()
    with ExitStack() as stack:
        spare = None
        if on_fault:
            spare = stack.enter_context(standby(platform, base, on_fault, num_slots=num_slots, trust=trust))
        runtime = stack.enter_context(Runtime(platform, trust=trust))
        session = stack.enter_context(runtime.load(model, plan, num_slots=num_slots, emulation=target.emulation))
        try:
            warm_up(session, inputs)
            served = serve(session, inputs, load)
            check_numbers(runtime, model, plan, inputs, served.inferences, emulation=target.emulation)
        except DeviceError as error:
            if spare is None:
                raise
            warnings = (f"{error}; {on_fault!r} computes the model alone",)
            model, plan, served = base, standby_plan(base, on_fault), serve(spare, inputs, load)
    return RunResult(base=base, model=model, plan=plan, platform=platform, served=served, warnings=warnings)
