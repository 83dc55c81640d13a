"""What emulated devices act out: a hypothetical problem without what real devices do by themselves.

Where a device that nobody has is executed in real time beside real ones, some of the model happens of its own accord:
a real device takes what it takes, crossing included (:mod:`hetsim.costs.fitting.transfer_costs`). The rest has to be
acted out: what segments take on emulated devices, and of hand-overs what the emulated side pays. Both the runtime and
the simulation that it is compared with go by the problem that is left:

- a zero-copy link charges for a byte what the problem says, less what its real end pays while it writes or reads it;
- a segment on an emulated device takes what it would take with the memory to itself;
- nobody slows anybody down: an emulated device moves no bytes through the memory.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import replace

from hetsim.core.errors import ProfileError
from hetsim.core.plan import Plan
from hetsim.core.platform import Link, Platform
from hetsim.core.problem import Latency, Problem
from hetsim.costs.fitting.additive_medians import additive_medians, undisturbed_medians
from hetsim.costs.fitting.transfer_costs import TransferCosts, fit_transfer_costs
from hetsim.costs.problems import plan_context
from hetsim.costs.profile import Profile

_ROUNDING = 1e-9


def make_emulation_problem(
    problem: Problem, emulated: Collection[str], profile: Profile | None = None, machine: Platform | None = None
) -> Problem:
    """The problem as emulated devices act it out beside real ones.

    Args:
        problem: The problem on the hypothetical platform.
        emulated: Names of its devices that are emulated.
        profile: Says what crossing costs the real devices; None where nothing was measured.
        machine: The devices as they are, with their calibrated links; None stands for the problem's.
    """
    transfer_costs = {}
    if profile is not None:
        transfer_costs = fit_transfer_costs(
            profile, undisturbed_medians(profile), machine or problem.platform, [problem.graph]
        )
    real = {name: transfer_costs for name, transfer_costs in transfer_costs.items() if name not in emulated}
    platform, memory = problem.platform, problem.platform.memory

    def costs(device: str, ops: tuple[str, ...]) -> Latency | None:
        found = problem.latency(device, ops)
        if found is None or device not in emulated:
            return found
        alone_s = problem.traffic_bytes(device, ops) / memory.shared_bytes_per_s
        return replace(found, seconds=max(found.seconds, alone_s))

    return replace(
        problem,
        platform=replace(platform, links={pair: _left(link, pair, real) for pair, link in platform.links.items()}),
        latency_function=costs,
        traffic_function=None,
        _known={},
    )


def _left(link: Link, pair: tuple[str, str], real: Mapping[str, TransferCosts]) -> Link:
    """What a link still charges for bytes when its real ends have paid their part."""
    if link.mode == "copy":
        return link
    source, target = pair
    paid = (real[source].written_s_per_byte if source in real else 0.0) + (
        real[target].read_s_per_byte if target in real else 0.0
    )
    asked = 1 / link.bandwidth_bytes_per_s
    left = asked - paid
    return replace(link, bandwidth_bytes_per_s=1 / left if left > _ROUNDING * asked else math.inf)


def replayed_problem(emulation_problem: Problem, emulated: Collection[str], replays: Profile, plan: Plan) -> Problem:
    """The acted problem as one plan meets it: what real devices take comes from the plan's own serial replays.

    Args:
        acted: From :func:`make_emulation_problem`.
        emulated: Names of the devices that are emulated.
        replays: Holds the plan's replays beside the emulated devices.
        plan: The plan.

    Raises:
        ProfileError: If the plan was not replayed.
    """
    context = plan_context(replays, plan)
    if context is None:
        raise ProfileError(f"plan {plan.digest} of {plan.model!r} was not replayed beside emulated devices")
    times = additive_medians(replays)

    def costs(device: str, ops: tuple[str, ...]) -> Latency | None:
        here_s = None if device in emulated else times.get((device, ops), {}).get(context)
        return emulation_problem.latency(device, ops) if here_s is None else Latency(here_s, measured=True)

    return replace(emulation_problem, latency_function=costs, _known={})
