"""Spreads: valid plans that share tensors, with each operator on each device in turn, as far as devices take it."""

from __future__ import annotations

from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hetsim.core.dataflow import check_plan, resolve
from hetsim.core.errors import ProblemError
from hetsim.core.graph import Graph
from hetsim.core.plan import Plan
from hetsim.costs.profile import Profile, Samples, Unsupported
from hetsim.models.structure import fused_chains
from hetsim.runtime.measure.configurations import (
    NUM_SPREADS,
    has_all_configurations,
    has_samples,
    profiling_configurations,
    spread_plans,
)
from tests.support.problems import graphs, inception_like
from tests.support.profiles import HEADER

NAMES = ("cpu", "npu", "gpu")


def spreads(graph: Graph, *refusals: Unsupported, names: tuple[str, ...] = NAMES) -> dict[str, Plan]:
    profile = Profile(header=HEADER)
    for refusal in refusals:
        profile.add(refusal)
    return dict(spread_plans(graph, profile, names))


def device_of(plan: Plan) -> dict[str, str]:
    return {op: segment.device for segment in plan.segments for op in segment.ops}


def refusal(device: str, *ops: str) -> Unsupported:
    return Unsupported(device=device, ops=ops, reason=f"{device} said so")


@given(graph=graphs(), num_devices=st.integers(2, 3))
def test_spreads_are_valid_plans_that_have_each_operator_on_each_device(graph: Graph, num_devices: int) -> None:
    names = NAMES[:num_devices]
    found = spreads(graph, names=names)
    assert list(found) == [f"spread {number + 1}, {name}" for number in range(NUM_SPREADS) for name in names]
    for plan in found.values():
        check_plan(graph, plan, device_names=names)
    for number in range(NUM_SPREADS):
        rotations = [device_of(plan) for name, plan in found.items() if name.startswith(f"spread {number + 1},")]
        for op in graph.ops:
            assert sorted(rotation[op.name] for rotation in rotations) == sorted(names)
        for chain in fused_chains(graph):
            assert len({rotations[0][op] for op in chain}) == 1


def test_neighbours_on_one_device_are_one_segment_and_many_tensors_are_shared() -> None:
    graph = inception_like(4).graph
    found = spreads(graph, names=("cpu", "npu"))
    assert found == spreads(graph, names=("cpu", "npu"))
    for plan in found.values():
        places = device_of(plan)
        runs = [tuple(ops) for _, ops in groupby((op.name for op in graph.ops), key=places.__getitem__)]
        assert sorted(segment.ops for segment in plan.segments) == sorted(runs)
        assert len({len(segment.ops) for segment in plan.segments}) > 3
    shared = set().union(*(resolve(graph, plan).shared for plan in found.values()))
    between = {op.outputs[0] for chain in fused_chains(graph) for op in [graph.by_name[chain[-1]]]}
    assert len(shared) > 0.6 * len(between)


def test_refused_operators_are_on_the_next_device_and_refused_segments_are_divided() -> None:
    graph = inception_like(2).graph
    before = spreads(graph)
    single = spreads(graph, refusal("npu", "stem"))
    for name, plan in single.items():
        check_plan(graph, plan, device_names=NAMES)
        places, former = device_of(plan), device_of(before[name])
        assert places["stem"] == {"cpu": "cpu", "npu": "gpu", "gpu": "gpu"}[former["stem"]]
        assert {op: d for op, d in places.items() if op != "stem"} == {
            op: d for op, d in former.items() if op != "stem"
        }
    name, segment = next(
        (name, segment) for name, plan in before.items() for segment in plan.segments if len(segment.ops) > 2
    )
    divided = spreads(graph, refusal(segment.device, *segment.ops[:2]))[name]
    check_plan(graph, divided, device_names=NAMES)
    assert device_of(divided) == device_of(before[name])
    assert {one.ops for one in divided.segments} == {
        *({one.ops for one in before[name].segments} - {segment.ops}),
        *((op,) for op in segment.ops),
    }


def test_one_device_has_no_spreads_and_an_operator_that_runs_nowhere_is_named() -> None:
    graph = inception_like(1).graph
    assert spreads(graph, names=("cpu",)) == {}
    with pytest.raises(ProblemError, match=r"'stem' \(Conv\) runs on no device: cpu said so; npu said so"):
        spreads(graph, refusal("cpu", "stem"), refusal("npu", "stem"), names=("cpu", "npu"))


def test_a_profile_has_all_configurations_once_granularities_and_spreads_are_measured() -> None:
    graph, names = inception_like(1).graph, ("cpu", "npu")
    profile = Profile(header=HEADER)

    def add(device: str, ops: tuple[str, ...], context: str) -> None:
        profile.add(Samples(device=device, ops=ops, context=context, samples_s=(1.0,)))

    for device in names:
        for name, parts in profiling_configurations(graph).items():
            for ops in parts:
                add(device, ops, f"configuration:{name}")
    assert has_all_configurations(profile, graph, ["cpu"])
    for name, plan in dict(spread_plans(graph, profile, names)).items():
        assert not has_all_configurations(profile, graph, names)
        assert not has_samples(profile, plan, f"configuration:{name}")
        for segment in plan.segments:
            add(segment.device, segment.ops, f"configuration:{name}")
    assert has_all_configurations(profile, graph, names)
