"""What segments cost: one function of the device, the operators and the tensors shared with other devices.

A :class:`CostModel` is fitted once to a revision of a profile. The search, both simulators and the prediction of a plan
all charge what it says.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from copy import copy
from dataclasses import replace

import numpy as np

from hetsim.core.dataflow import SharingCosts, resolve
from hetsim.core.errors import ProfileError
from hetsim.core.plan import Plan
from hetsim.core.platform import Platform
from hetsim.core.problem import Latency, LatencyFunction, Problem
from hetsim.costs.fitting.additive_medians import additive_medians, interference_free_medians
from hetsim.costs.fitting.calibrated import calibrated_s_per_byte
from hetsim.costs.fitting.device_model import DeviceModel, LeftOut
from hetsim.costs.fitting.observations import observe, sharing_factors
from hetsim.costs.fitting.shared_tensors import shared_tensor
from hetsim.costs.hypothetical.device_costs import hypothetical_costs
from hetsim.costs.parts import work_of
from hetsim.costs.profile import Profile
from hetsim.costs.refusals import masks
from hetsim.costs.traffic import traffic_function
from hetsim.models.model import Model
from hetsim.models.split.planned import planned_model
from hetsim.models.split.splitting import ModelSplitting

_LEAST = 0.1
"""The least part of a segment's time in a replay that remains once unusual costs of sharing are taken off."""

Latencies = dict[tuple[str, tuple[str, ...]], Latency | None]
"""What operators take as one segment on a device. The name of an operator says what it computes, in every rewrite."""


class CostModel:
    """Costs of a model on a platform's measured devices; later samples of the profile do not change them.

    Args:
        model: The model, imported or rewritten.
        platform: The devices.
        profile: Their profile.

    Raises:
        ProfileError: If a measured device of the platform has no serial run in the profile.
    """

    def __init__(self, model: Model, platform: Platform, profile: Profile) -> None:
        self._base = model.base or model
        self._platform = platform
        self._profile = profile
        self._stated = hypothetical_costs(self._base, platform)
        self._times = interference_free_medians(profile)
        self._sharing_factors = sharing_factors(profile)
        observations = observe(self._base, profile, self._times, self._sharing_factors)
        self._devices: dict[str, DeviceModel] = {}
        self._latencies: Latencies = {}
        for device in platform.devices:
            if device.source is not None:
                continue
            if not observations.get(device.name) and profile.unsupported(device.name):
                continue  # it refuses all operators
            if not observations.get(device.name):
                raise ProfileError(
                    f"the profile of {self._base.name!r} has no serial run on {device.name!r}; complete it with: "
                    f"hetsim profile {self._base.name} --platform {platform.name} --out FILE"
                )
            self._devices[device.name] = DeviceModel(
                self._base.graph,
                observations[device.name],
                device.launch_s,
                calibrated_s_per_byte(platform, device.name),
            )

    def problem(self, model: Model | None = None) -> Problem:
        """The planning problem of the model, or of one that was rewritten from it."""
        model = model or self._base
        names = self._platform.device_names
        costs = _Costs(model, self._devices, self._profile, self._latencies, names)
        traffic = traffic_function(self._profile, model.graph, self._platform, costs.latency)
        stated = self._stated.of_parts(model)
        return Problem(
            graph=model.graph,
            platform=_with_free_bytes(self._platform),
            latency_function=costs.unless_refused(stated.latency_beside(costs.latency), stated.devices),
            traffic_function=None if traffic is None else stated.traffic_beside(traffic),
            sharing=SharingCosts(costs.read_s, costs.written_s),
            model_hash=model.hash,
            splitting=ModelSplitting(model, self.problem),
            rewrites=model.splits,
        )

    def problem_for(self, plan: Plan) -> Problem:
        """The problem as one plan meets it: with the times of the plan's own serial runs, if there are any.

        These include what shared tensors cost. A profile never contains the plan's parallel execution, so a simulation
        of this problem predicts it.

        Raises:
            PlanError: If the plan does not fit the model.
        """
        model = planned_model(self._base, plan)
        problem = self.problem(model)
        context = plan_context(self._profile, plan)
        if context is None:
            return problem
        own = self._own_times_s(problem, plan, context)

        def latency(device: str, ops: tuple[str, ...]) -> Latency | None:
            own_s = own.get((device, ops))
            return problem.latency(device, ops) if own_s is None else Latency(own_s, measured=True)

        return replace(
            problem,
            latency_function=latency,
            traffic_function=traffic_function(self._profile, model.graph, self._platform, latency),
            sharing=None,
            _known={},
        )

    def _own_times_s(self, problem: Problem, plan: Plan, context: str) -> dict[tuple[str, tuple[str, ...]], float]:
        """What a plan's segments took in its own serial runs; in a replay, brought to the usual cost of sharing."""
        is_final = context.startswith("final:")
        times = additive_medians(self._profile) if is_final else self._times
        shared_s = {} if is_final else problem.accesses(plan.segments)
        found: dict[tuple[str, tuple[str, ...]], float] = {}
        for segment in plan.segments:
            seconds = times[segment.device, segment.ops][context]
            factor = self._sharing_factors.get((segment.device, context), 1.0)
            unusual_s = (factor - 1) * sum(access.seconds for access in shared_s.get(segment, ()))
            found[segment.device, segment.ops] = max(seconds - unusual_s, _LEAST * seconds)
        return found

    def error_s(self, plan: Plan) -> float:
        """The standard error of the sum of a plan's segments, in seconds: errors that they have in common included."""
        model = planned_model(self._base, plan)
        flow = resolve(model.graph, plan)
        variance = 0.0
        for name, device in self._devices.items():
            segments = [
                (
                    step.segment.ops,
                    work_of(model, step.segment.ops),
                    [shared_tensor(model, tensor, is_made=tensor in step.outputs) for tensor in flow.shared_by(step)],
                )
                for step in flow.steps
                if step.segment.device == name
            ]
            variance += device.error_s(device.row(segments, "a plan")) ** 2 if segments else 0.0
        return math.sqrt(variance)

    @property
    def left_out(self) -> Mapping[str, tuple[LeftOut, ...]]:
        """By device, the prediction of each measurement of several operators from all other measurements."""
        return {name: device.left_out() for name, device in self._devices.items()}

    def unpicked(self) -> CostModel:
        """The same for plans that no search picked, such as random ones, whose costs err to either side alike."""
        other = copy(self)
        other._devices = {name: device.unpicked() for name, device in self._devices.items()}
        other._latencies = {}
        return other

    def sampled(self, seed: int) -> CostModel:
        """The same with all unknown costs drawn from what is known of them, for searches that explore."""
        other = copy(self)
        generator = np.random.default_rng(seed)
        other._devices = {name: device.sampled(generator) for name, device in self._devices.items()}
        other._latencies = {}
        return other


class _Costs:
    """What the segments of one model cost, imported or rewritten.

    Args:
        model: The model.
        devices: The devices that were measured.
        profile: Says which segments devices refuse.
        latencies: What is known already, also of other rewrites of the same model; it gains what is asked for.
        names: All devices, also those that were not measured.
    """

    def __init__(
        self,
        model: Model,
        devices: Mapping[str, DeviceModel],
        profile: Profile,
        latencies: Latencies,
        names: Collection[str],
    ) -> None:
        self._latencies = latencies
        self._model = model
        self._devices = devices
        self._base = (model.base or model).graph
        self._refused = {device: masks(model.graph, profile.unsupported(device)) for device in names}
        self._refused_alone = {device: frozenset(profile.refused_alone(device)) for device in names}
        self._refused_originals = {device: masks(self._base, profile.unsupported(device)) for device in names}

    def latency(self, device: str, ops: tuple[str, ...]) -> Latency | None:
        """What a segment takes with all tensors device-local; None where it cannot run or was never measured."""
        key = (device, ops)
        if key not in self._latencies:
            self._latencies[key] = self._latency(device, ops)
        return self._latencies[key]

    def _latency(self, device: str, ops: tuple[str, ...]) -> Latency | None:
        known = self._devices.get(device)
        if known is None:
            return None
        work = work_of(self._model, ops)
        if self._refuses(device, ops) or not known.can_predict(work):
            return None
        return Latency(known.seconds(ops, work), measured=ops in known.measured)

    def unless_refused(self, stated: LatencyFunction, devices: Collection[str]) -> LatencyFunction:
        """The same costs, but None for segments that the engines of hypothetical ``devices`` refused."""
        refused = (self._refused, self._refused_originals, self._refused_alone)
        if not any(known[device] for known in refused for device in devices):
            return stated

        def latency(device: str, ops: tuple[str, ...]) -> Latency | None:
            return None if device in devices and self._refuses(device, ops) else stated(device, ops)

        return latency

    def _refuses(self, device: str, ops: tuple[str, ...]) -> bool:
        outside, others = ~self._model.graph.mask(ops), ~self._base.mask(work_of(self._model, ops).shares)
        return (
            ops in self._refused_alone[device]
            or any(refused & outside == 0 for refused in self._refused[device])
            or any(refused & others == 0 for refused in self._refused_originals[device])
        )

    def read_s(self, device: str, tensor: str) -> float:
        """What a segment takes longer for a shared tensor that it reads."""
        return self._sharing_s(device, tensor, is_made=False)

    def written_s(self, device: str, tensor: str) -> float:
        """What a segment takes longer for a shared tensor that it makes."""
        return self._sharing_s(device, tensor, is_made=True)

    def _sharing_s(self, device: str, tensor: str, *, is_made: bool) -> float:
        known = self._devices.get(device)
        return 0.0 if known is None else known.sharing_s(shared_tensor(self._model, tensor, is_made=is_made))


def plan_context(profile: Profile, plan: Plan) -> str | None:
    """The context of the plan's own serial runs; None if the profile has none of all its segments.

    Serial runs of the final measurement, in interleaved rounds with executions, come before a replay on its own.
    """
    for name in ("final", "replay"):
        context = f"{name}:{plan.digest}"
        if all(profile.samples_s(segment.device, segment.ops, context) for segment in plan.segments):
            return context
    return None


def _with_free_bytes(platform: Platform) -> Platform:
    """The platform whose zero-copy links between measured devices cost nothing for bytes: segments pay for these."""
    measured = {device.name for device in platform.devices if device.source is None}
    links = {
        pair: replace(link, bandwidth_bytes_per_s=math.inf)
        if link.mode == "zero-copy" and measured.issuperset(pair)
        else link
        for pair, link in platform.links.items()
    }
    return replace(platform, links=links)
