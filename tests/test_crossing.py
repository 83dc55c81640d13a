"""What crossing costs, and that each plan pays it once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hetsim.costs import make_problem, plan_problem
from hetsim.crossing import Crossing, crossings
from hetsim.machine.platform import Link
from hetsim.plan import Plan, Segment, resolve
from hetsim.profile import Profile, Samples
from hetsim.simulate import makespan_s
from tests.models import fork_join
from tests.problems import graph_of, plan_of, platform_of
from tests.test_profile import HEADER


def test_writer_and_reader_pay_half_of_a_link_each() -> None:
    platform = platform_of("cpu", "npu")
    links = {("cpu", "npu"): Link(bandwidth_bytes_per_s=100.0), ("npu", "cpu"): Link(bandwidth_bytes_per_s=250.0)}
    found = crossings(replace(platform, links=links))
    # A byte from the CPU to the NPU takes 10 ms, one from the NPU to the CPU 4 ms.
    assert found["cpu"] == Crossing(read_s_per_byte=pytest.approx(2e-3), written_s_per_byte=pytest.approx(5e-3))
    assert found["npu"] == Crossing(read_s_per_byte=pytest.approx(5e-3), written_s_per_byte=pytest.approx(2e-3))


def test_with_several_others_it_is_the_mean_and_copies_cost_nothing() -> None:
    platform = platform_of("cpu", "npu", "gpu", bandwidth_bytes_per_s=250.0)
    copying = Link(bandwidth_bytes_per_s=250.0, mode="copy")
    found = crossings(replace(platform, links={**platform.links, ("gpu", "cpu"): copying}))
    # 4 ms a byte on each link: half of it from the NPU, nothing from the GPU, whose tensors are copied.
    assert found["cpu"] == Crossing(read_s_per_byte=pytest.approx(1e-3), written_s_per_byte=pytest.approx(2e-3))


def test_who_is_alone_pays_nothing() -> None:
    assert crossings(platform_of("cpu")) == {"cpu": Crossing()}


def test_a_segment_pays_for_what_it_reads_and_writes() -> None:
    crossing = Crossing(read_s_per_byte=1e-9, written_s_per_byte=2e-9)
    assert crossing.seconds(1000, 500) == pytest.approx(2e-6)


def test_steps_know_what_crosses() -> None:
    graph = graph_of(
        {"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c")}, num_bytes={"a": 10, "b": 200, "c": 3000, "d": 1}
    )
    flow = resolve(graph, plan_of(graph, ("cpu", "a b"), ("npu", "c"), ("cpu", "d")))
    # a+b writes a's 10 bytes for c on the NPU, and b's for d on its own device; d reads c's 3000 from the NPU.
    assert [step.segment.ops for step in flow.steps] == [("a", "b"), ("c",), ("d",)]
    assert flow.read_bytes == (0, 10, 3000)
    assert flow.written_bytes == (10, 3000, 0)


def test_a_problem_takes_crossing_out_of_segments_and_leaves_it_on_links() -> None:
    model = fork_join()
    graph = model.graph
    header = HEADER.__class__(
        model="m", model_hash=model.hash, machine="here", engines={"cpu": "e", "npu": "e"}, date="2026-01-01"
    )
    profile = Profile(header=header)
    platform = platform_of(
        "cpu", "npu", bandwidth_bytes_per_s=5e5
    )  # 1 us a byte for the reader, and 1 us for the writer
    for device in ("cpu", "npu"):
        for op in graph.ops:
            num_bytes = sum(graph.tensors[t].num_bytes for t in op.inputs if t in graph.producer)
            for context, crossed in (("cover:operators", 0), ("replay:0", num_bytes), ("replay:1", num_bytes)):
                profile.add(
                    Samples(
                        device=device,
                        ops=(op.name,),
                        context=context,
                        samples_s=(1.0 + 1e-6 * crossed,),
                        read_bytes=crossed,
                    )
                )
    problem = make_problem(model, platform, profile)
    assert problem.cost_s("cpu", ("join",)) == pytest.approx(1.0)
    tensor = graph.outputs_of(("stem",))[0]
    assert problem.transfer_s("cpu", "npu", tensor) == pytest.approx(graph.tensors[tensor].num_bytes * 2e-6)
    # A plan's own replay has it in its segments' times, where the links must not charge it again.
    names = [op.name for op in graph.ops]
    plan = Plan(
        model=graph.name,
        queues={"cpu": (Segment("cpu", (names[0],)),), "npu": tuple(Segment("npu", (n,)) for n in names[1:])},
    )
    for segment in plan.segments:
        profile.add(Samples(device=segment.device, ops=segment.ops, context=f"replay:{plan.digest}", samples_s=(2.0,)))
    assert makespan_s(plan_problem(model, platform, profile, plan), plan) == 2.0 * len(names)
    assert profile.without(plan.digest).samples_s("cpu", ("stem",), f"replay:{plan.digest}") == ()
