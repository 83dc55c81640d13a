"""Profiling configurations: the plans whose serial runs make a profile.

- *Granularities*: the whole model on one device, divided into single operators, fused pairs, branches, blocks between
  articulation operators, sequences of 2, 4, 8, ... blocks, or not at all.
- *Spreads*: fused chains dealt out to all devices at random, so that segments of many sizes share tensors with other
  devices. What sharing a tensor costs depends on the device and on the tensor, so each device has each chain in some
  spread.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

from hetsim.core.errors import ProblemError
from hetsim.core.graph import Graph
from hetsim.core.plan import Plan, Segment
from hetsim.costs.profile import Profile
from hetsim.costs.refusals import Refused, refused_by
from hetsim.models.model import Model
from hetsim.models.structure import blocks, branches, fused_chains, runs

NUM_SPREADS = 2
"""The number of random spreads; each is measured with the devices in every rotation."""
_STAY = 0.5
"""How probably a chain of a spread is on the device of the one before."""

Parts = tuple[tuple[str, ...], ...]


def profiling_configurations(graph: Graph) -> Mapping[str, Parts]:
    """The profiling configurations of a model: by name, its operators in segments; finest first, without duplicates."""
    in_blocks = blocks(graph)
    found: dict[str, Parts] = {"operators": tuple((op.name,) for op in graph.ops)}
    candidates = {"fused pairs": fused_chains(graph), "branches": branches(graph), "blocks": in_blocks}
    length = 2
    while length < len(in_blocks):
        candidates[f"runs of {length} blocks"] = runs(in_blocks, length)
        length *= 2
    candidates["whole"] = (tuple(op.name for op in graph.ops),)
    for name, parts in candidates.items():
        if parts not in found.values():
            found[name] = parts
    return found


def has_all_configurations(profile: Profile, graph: Graph, device_names: Iterable[str]) -> bool:
    """Whether every segment of every granularity was measured or refused, on every device, and every spread was."""
    names = tuple(device_names)
    return all(
        is_measured(profile, device, parts, f"configuration:{name}")
        for device in names
        for name, parts in profiling_configurations(graph).items()
    ) and all(has_samples(profile, plan, f"configuration:{name}") for name, plan in spread_plans(graph, profile, names))


def has_samples(profile: Profile, plan: Plan, context: str) -> bool:
    """Whether all segments of a plan were measured in a context."""
    return all(profile.samples_s(segment.device, segment.ops, context) for segment in plan.segments)


def is_measured(profile: Profile, device: str, parts: Parts, context: str) -> bool:
    """Whether all parts were measured on a device in a context, or refused by it."""
    refused = refused_by(profile, device)
    return all(refused.rules_out(ops) or profile.samples_s(device, ops, context) for ops in parts)


def configuration_plan(
    model: Model, profile: Profile, device_names: tuple[str, ...], device: str, parts: Parts
) -> Plan:
    """The plan of a profiling configuration: its parts on one device, except for operators that this refused.

    A part with a refused operator is divided into single operators; the refused ones go to the first other device that
    supports them.

    Args:
        model: The model.
        profile: Tells which segments devices refused.
        device_names: All devices of the platform.
        device: The device to measure.
        parts: The configuration's segments, in model order.

    Raises:
        ProblemError: If an operator runs on no device.
    """
    refused = {name: refused_by(profile, name) for name in device_names}
    queues: dict[str, list[Segment]] = {name: [] for name in device_names}
    for part in parts:
        for ops in [(op,) for op in part] if refused[device].rules_out(part) else [part]:
            order = (device, *(name for name in device_names if name != device))
            home = _home(model.graph, profile, ops, order, refused)
            queues[home].append(Segment(home, ops))
    return Plan(model=model.graph.name, queues={name: tuple(queue) for name, queue in queues.items()})


def _home(
    graph: Graph,
    profile: Profile,
    ops: tuple[str, ...],
    order: Sequence[str],
    refused: Mapping[str, Refused],
) -> str:
    """The first device in this order that did not refuse the operators.

    Raises:
        ProblemError: If all refused them; there is only one then.
    """
    home = next((name for name in order if not refused[name].rules_out(ops)), None)
    if home is None:
        said = [{**profile.unsupported(name), **profile.refused_alone(name)} for name in refused]
        reasons = "; ".join(reasons[ops] for reasons in said)
        raise ProblemError(f"operator {ops[0]!r} ({graph.by_name[ops[0]].kind}) runs on no device: {reasons}")
    return home


def spread_plans(graph: Graph, profile: Profile, device_names: tuple[str, ...]) -> Iterator[tuple[str, Plan]]:
    """The spreads by name: neighbouring operators on one device are one segment. Operators that a device refused are on
    the next one that supports them; there are no spreads over one device.

    Args:
        graph: The model's graph.
        profile: Tells which segments devices refused.
        device_names: The devices.

    Raises:
        ProblemError: If an operator runs on no device.
    """
    refused = {name: refused_by(profile, name) for name in device_names}
    for number in range(NUM_SPREADS if len(device_names) > 1 else 0):
        dealt = _dealt(graph, len(device_names), random.Random(number))
        for rotation in range(len(device_names)):
            device_of = {}
            for op in graph.ops:
                first = dealt[op.name] + rotation
                order = [device_names[(first + k) % len(device_names)] for k in range(len(device_names))]
                device_of[op.name] = _home(graph, profile, (op.name,), order, refused)
            yield f"spread {number + 1}, {device_names[rotation]}", _plan_in_order(graph, device_of, refused)


def _dealt(graph: Graph, num_devices: int, generator: random.Random) -> dict[str, int]:
    """By operator, the number of its device: that of its fused chain, drawn at random."""
    found: dict[str, int] = {}
    current = 0
    for chain in fused_chains(graph):
        if generator.random() >= _STAY:
            current = (current + generator.randrange(1, num_devices)) % num_devices
        found.update(dict.fromkeys(chain, current))
    return found


def _plan_in_order(graph: Graph, device_of: Mapping[str, str], refused: Mapping[str, Refused]) -> Plan:
    """The plan whose segments are neighbouring operators on one device, or single ones where a device refused them."""
    names = [op.name for op in graph.ops]
    starts = [0, *(i + 1 for i, (a, b) in enumerate(pairwise(names)) if device_of[a] != device_of[b]), len(names)]
    queues: dict[str, list[Segment]] = {}
    for start, stop in pairwise(starts):
        ops, device = tuple(names[start:stop]), device_of[names[start]]
        whole = not refused[device].rules_out(ops)
        queues.setdefault(device, []).extend(
            Segment(device, part) for part in ([ops] if whole else [(op,) for op in ops])
        )
    return Plan(model=graph.name, queues={name: tuple(queue) for name, queue in queues.items()})
