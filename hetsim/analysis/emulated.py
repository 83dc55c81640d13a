"""The problem that a machine with emulated devices executes: a hypothetical problem less what real devices add.

A plan on a hypothetical device runs in real time beside real devices. The real devices take the time that they take,
cross-device accesses included (:mod:`hetsim.costs.fitting.transfer_costs`). The runtime emulates the rest: the time of
segments on emulated devices, and the emulated side's part of each hand-over. The runtime, and the simulation that its
measurements are compared with, both use the problem that :func:`emulated_problem` makes:

- A zero-copy link costs for each byte what the problem says, less what its real ends pay to write or read that byte.
- A segment on an emulated device takes the time that it takes with the memory to itself.
- There is no contention: an emulated device moves no bytes through the memory.

Like a :class:`~hetsim.analysis.scenario.Scenario` this maps one problem to another and needs no runtime, so it is part
of the analysis and not of the tuner.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import replace

from hetsim.core.errors import ProfileError
from hetsim.core.plan import Plan
from hetsim.core.platform import Link, Platform
from hetsim.core.problem import Latency, Problem
from hetsim.costs.fitting.additive_medians import additive_medians, interference_free_medians
from hetsim.costs.fitting.transfer_costs import TransferCosts, fit_transfer_costs
from hetsim.costs.problems import plan_context
from hetsim.costs.profile import Profile

_ROUNDING = 1e-9
"""A link whose bytes cost less than this fraction of what the problem says is left with no cost for bytes."""


def emulated_problem(
    problem: Problem, devices: Collection[str], profile: Profile | None = None, machine: Platform | None = None
) -> Problem:
    """The problem that a machine executes on which some of the problem's devices are emulated.

    Args:
        problem: The problem on the hypothetical platform.
        devices: Names of the emulated devices.
        profile: Gives the cross-device access costs of the real devices; None if nothing was measured.
        machine: The real devices with their calibrated links; None stands for the problem's platform.
    """
    transfer_costs: Mapping[str, TransferCosts] = {}
    if profile is not None:
        medians = interference_free_medians(profile)
        transfer_costs = fit_transfer_costs(profile, medians, machine or problem.platform, [problem.graph])
    return _emulated(problem, devices, {name: costs for name, costs in transfer_costs.items() if name not in devices})


def _emulated(problem: Problem, devices: Collection[str], real: Mapping[str, TransferCosts]) -> Problem:
    """The problem, original or rewritten, that the machine executes; ``real`` is what its real devices pay."""
    platform, memory = problem.platform, problem.platform.memory

    def latency(device: str, ops: tuple[str, ...]) -> Latency | None:
        found = problem.latency(device, ops)
        if found is None or device not in devices:
            return found
        memory_s = problem.traffic_bytes(device, ops) / memory.shared_bytes_per_s
        return replace(found, seconds=max(found.seconds, memory_s))

    links = {pair: _emulated_link(link, pair, real) for pair, link in platform.links.items()}
    return replace(
        problem,
        platform=replace(platform, links=links),
        latency_function=latency,
        traffic_function=None,
        splitting=problem.changed_splitting(lambda rewritten: _emulated(rewritten, devices, real)),
        _known={},
    )


def _emulated_link(link: Link, pair: tuple[str, str], real: Mapping[str, TransferCosts]) -> Link:
    """The link with the cost per byte that is left when its real ends have paid theirs."""
    if link.mode == "copy":
        return link
    source, target = pair
    paid_s_per_byte = (real[source].written_s_per_byte if source in real else 0.0) + (
        real[target].read_s_per_byte if target in real else 0.0
    )
    whole_s_per_byte = 1 / link.bandwidth_bytes_per_s
    rest_s_per_byte = whole_s_per_byte - paid_s_per_byte
    is_paid = rest_s_per_byte <= _ROUNDING * whole_s_per_byte
    return replace(link, bandwidth_bytes_per_s=math.inf if is_paid else 1 / rest_s_per_byte)


def emulated_plan_problem(emulated: Problem, devices: Collection[str], profile: Profile, plan: Plan) -> Problem:
    """The emulated problem for one plan: real devices take what they took in the plan's own serial runs.

    Args:
        emulated: From :func:`emulated_problem`.
        devices: Names of the emulated devices.
        profile: Has the plan's serial runs beside the emulated devices.
        plan: The plan.

    Raises:
        ProfileError: If the profile has no serial run of the plan.
    """
    context = plan_context(profile, plan)
    if context is None:
        raise ProfileError(f"the profile has no serial run of plan {plan.digest} of {plan.model!r}; execute it first")
    emulated = emulated.for_plan(plan)
    medians = additive_medians(profile)

    def latency(device: str, ops: tuple[str, ...]) -> Latency | None:
        own_s = None if device in devices else medians.get((device, ops), {}).get(context)
        return emulated.latency(device, ops) if own_s is None else Latency(own_s, measured=True)

    return replace(emulated, latency_function=latency, _known={})
