"""The problem that a machine with emulated devices executes: a hypothetical problem less what real devices add.

A plan on a hypothetical device runs in real time beside real devices. The real devices take the time that they take,
access to shared tensors included. The runtime emulates the rest: the time of segments on emulated devices with what the
problem charges them for shared tensors, and delays of hand-overs. The runtime, and the simulation that its measurements
are compared with, both use the problem that :func:`emulated_problem` makes:

- Real devices pay for shared tensors what they pay by the profile, and emulated devices what the problem says.
- What the problem charges real devices beyond that, which nobody pays, is a delay of the link, by the byte.
- A segment on an emulated device takes the time that it takes with the memory to itself, and its accesses.
- There is no contention: an emulated device moves no bytes through the memory.

Like a :class:`~hetsim.analysis.scenario.Scenario` this maps one problem to another and needs no runtime, so it is part
of the analysis and not of the tuner.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

from hetsim.core.dataflow import SharingCosts
from hetsim.core.errors import ProfileError
from hetsim.core.plan import Plan
from hetsim.core.platform import Link
from hetsim.core.problem import Latency, Problem
from hetsim.costs.cost_model import plan_context
from hetsim.costs.fitting.additive_medians import additive_medians
from hetsim.costs.profile import Profile

Cost = Callable[[str, str], float]


def emulated_problem(problem: Problem, devices: Collection[str], real: Problem | None = None) -> Problem:
    """The problem that a machine executes on which some of the problem's devices are emulated.

    Args:
        problem: The problem on the hypothetical platform.
        devices: Names of the emulated devices.
        real: The problem on the devices as they are; None if nothing was measured.
    """
    platform, memory = problem.platform, problem.platform.memory

    def latency(device: str, ops: tuple[str, ...]) -> Latency | None:
        found = problem.latency(device, ops)
        if found is None or device not in devices:
            return found
        memory_s = problem.traffic_bytes(device, ops) / memory.shared_bytes_per_s
        return replace(found, seconds=max(found.seconds, memory_s))

    paid = None if real is None else real.sharing
    sharing = problem.sharing
    if sharing is not None:
        sharing = SharingCosts(
            _by_nature(sharing.read_s, None if paid is None else paid.read_s, devices),
            _by_nature(sharing.written_s, None if paid is None else paid.written_s, devices),
        )

    def emulated_again(rewritten: Problem) -> Problem:
        again = None if real is None else real.rewritten(rewritten.rewrites).problem
        return emulated_problem(rewritten, devices, again)

    paying = replace(
        problem,
        latency_function=latency,
        traffic_function=None,
        sharing=sharing,
        splitting=problem.changed_splitting(emulated_again),
        _known={},
    )
    links = {
        pair: _emulated_link(link, problem.sharing_s_per_byte(*pair) - paying.sharing_s_per_byte(*pair))
        for pair, link in platform.links.items()
    }
    return replace(paying, platform=replace(platform, links=links))


def _by_nature(emulated_s: Cost, real_s: Cost | None, devices: Collection[str]) -> Cost:
    """A cost of shared tensors: one for emulated devices, another one, or nothing, for real ones."""

    def cost_s(device: str, tensor: str) -> float:
        if device in devices:
            return emulated_s(device, tensor)
        return 0.0 if real_s is None else real_s(device, tensor)

    return cost_s


def _emulated_link(link: Link, rest_s_per_byte: float) -> Link:
    """The link that delays each byte by what its ends should pay for it and do not, in seconds."""
    if link.mode == "copy" or rest_s_per_byte <= 0:
        return link
    return replace(link, bandwidth_bytes_per_s=1 / (1 / link.bandwidth_bytes_per_s + rest_s_per_byte))


def emulated_plan_problem(emulated: Problem, devices: Collection[str], profile: Profile, plan: Plan) -> Problem:
    """The emulated problem for one plan: real devices take what they took in the plan's own serial runs.

    These include what the real devices pay for shared tensors.

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

    sharing = emulated.sharing
    if sharing is not None:
        sharing = SharingCosts(_by_nature(sharing.read_s, None, devices), _by_nature(sharing.written_s, None, devices))
    return replace(emulated, latency_function=latency, sharing=sharing, _known={})
