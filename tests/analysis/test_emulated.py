"""The problem that emulated devices execute, by hand."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import pytest

from hetsim.analysis.emulated import emulated_plan_problem, emulated_problem
from hetsim.core.errors import ProfileError
from hetsim.core.platform import Link, Memory
from hetsim.core.problem import Problem
from hetsim.costs.profile import Header, Profile, Samples
from hetsim.sim.simulate import makespan_s
from tests.support.problems import graph_of, plan_of, platform_of, problem_of, sharing_of


def base() -> Problem:
    """``a`` feeds ``b``; hand-overs cost 0.25 s and 4 ms a byte, copies from the GPU besides."""
    graph = graph_of({"a": (), "b": ("a",)})
    costs_s = {"a": {"cpu": 2.0, "npu": 1.0, "gpu": 1.0}, "b": {"cpu": 2.0, "npu": 1.0, "gpu": 1.0}}
    platform = platform_of("cpu", "npu", "gpu", setup_s=0.25, bandwidth_bytes_per_s=250.0)
    links = {**platform.links, ("gpu", "cpu"): Link(setup_s=1.0, bandwidth_bytes_per_s=100.0, mode="copy")}
    return problem_of(graph, costs_s, replace(platform, links=links))


def profile(*samples: Samples) -> Profile:
    """A profile of the CPU and an emulated NPU with these samples."""
    header = Header(model="tiny", model_hash="", machine="m", engines={"cpu": "e", "npu": "emulated"}, date="today")
    found = Profile(header=header)
    for one in samples:
        found.add(one)
    return found


def with_sharing(problem: Problem, cpu_s: float, npu_s: float) -> Problem:
    """The problem in which a's tensor costs its reader so much by device, and who makes it three times as much."""
    read_s = {("cpu", "a"): cpu_s, ("npu", "a"): npu_s, ("gpu", "a"): npu_s}
    return replace(problem, sharing=sharing_of(read_s, {key: 3 * seconds for key, seconds in read_s.items()}))


@pytest.mark.equation("links")
def test_where_sharing_costs_nothing_links_stay_as_they_are() -> None:
    assert emulated_problem(base(), ["npu"]).platform == base().platform
    assert emulated_problem(base(), ["npu"]).sharing is None
    # As measured, real devices pay what the problem says.
    problem = with_sharing(base(), 1.0, 2.0)
    assert emulated_problem(problem, ["npu"], problem).platform == base().platform


@pytest.mark.equation("links")
def test_emulated_devices_pay_what_the_problem_charges_and_links_what_it_charges_real_ones_beyond_what_they_pay() -> (
    None
):
    # All hand-overs are twice as dear as measured: the CPU pays 1 and 3 s of 2 and 6, the NPU pays 8 and 24.
    problem, real = with_sharing(base(), 2.0, 8.0), with_sharing(base(), 1.0, 4.0)
    emulated = emulated_problem(problem, ["npu"], real)
    sharing = emulated.sharing
    assert sharing is not None
    assert [(sharing.read_s(name, "a.out"), sharing.written_s(name, "a.out")) for name in ("cpu", "npu", "gpu")] == [
        (1.0, 3.0),
        (8.0, 24.0),
        (4.0, 12.0),
    ]
    # What nobody pays is a delay by the byte, of all tensors' 2000 bytes: 3 s from the CPU and 1 s to it, besides 4 ms.
    links = {pair: 1 / link.bandwidth_bytes_per_s for pair, link in emulated.platform.links.items()}
    assert links["cpu", "npu"] == pytest.approx(4e-3 + 3.0 / 2000)
    assert links["npu", "cpu"] == pytest.approx(4e-3 + 1.0 / 2000)
    assert links["cpu", "gpu"] == pytest.approx(4e-3 + (3.0 + 4.0) / 2000)
    assert emulated.platform.link("cpu", "npu").setup_s == 0.25
    assert emulated.platform.link("gpu", "cpu") == base().platform.link("gpu", "cpu")  # a copy
    plan = plan_of(problem.graph, ("cpu", "a"), ("npu", "b"))
    assert list(emulated.segment_times_s(plan.segments).values()) == pytest.approx([2.0 + 3.0, 1.0 + 8.0])
    # The CPU's own serial runs include what it pays.
    serial_runs = profile(
        *(
            Samples(device=device, ops=(op,), context=f"final:{plan.digest}", samples_s=(5.5, 5.5, 5.5))
            for device, op in (("cpu", "a"), ("npu", "b"))
        )
    )
    own = emulated_plan_problem(emulated, ["npu"], serial_runs, plan)
    assert list(own.segment_times_s(plan.segments).values()) == pytest.approx([5.5, 9.0])
    assert own.platform == emulated.platform


@pytest.mark.equation("links")
def test_a_chain_of_all_tensors_takes_as_long_whoever_pays() -> None:
    # a's and b's tensors both cross, there and back; the link charges each for its half of what nobody pays.
    graph = graph_of({"a": (), "b": ("a",), "c": ("b",)})
    costs_s = {"a": {"cpu": 2.0}, "b": {"npu": 1.0}, "c": {"cpu": 2.0}}
    read_s = {("npu", "a"): 1.0, ("cpu", "b"): 2.0}
    real = replace(
        problem_of(graph, costs_s, platform_of("cpu", "npu")),
        sharing=sharing_of(read_s, {("cpu", "a"): 1.0, ("npu", "b"): 1.0}),
    )
    dear = sharing_of({key: 2 * seconds for key, seconds in read_s.items()}, {("cpu", "a"): 4.0, ("npu", "b"): 2.0})
    problem = replace(real, sharing=dear)
    plan = plan_of(graph, ("cpu", "a"), ("npu", "b"), ("cpu", "c"))
    emulated = emulated_problem(problem, ["npu"], real)
    # Not paid: 3 s for a's tensor from the CPU, 2 s for b's at the CPU. Three tensors of 1000 bytes share that.
    assert makespan_s(problem, plan) == 5.0 + 4.0 + 2.0 + 2.0 + 4.0
    assert makespan_s(emulated, plan) == pytest.approx(5.0 + 1.0 + 2.0 + 2.0 + 2.0 + (3.0 + 2.0) / 3)
    # Cheaper than measured is as measured: nobody gets time back.
    cheap = emulated_problem(replace(real, sharing=sharing_of({})), ["npu"], real)
    assert {link.bandwidth_bytes_per_s for link in cheap.platform.links.values()} == {inf}


def test_an_emulated_segment_takes_no_less_than_the_memory_allows() -> None:
    problem = replace(
        base(),
        platform=replace(base().platform, memory=Memory(shared_bytes_per_s=100.0)),
        traffic_function=lambda _device, ops: 150 * len(ops),
    )
    emulated = emulated_problem(problem, ["npu"])
    assert emulated.cost_s("npu", ("a",)) == 1.5
    assert emulated.cost_s("cpu", ("a",)) == 2.0
    assert emulated.traffic_bytes("npu", ("a",)) == 0


def test_real_devices_take_what_serial_runs_took_and_emulated_ones_what_the_problem_says() -> None:
    problem = base()
    plan = plan_of(problem.graph, ("cpu", "a"), ("npu", "b"))
    context = f"final:{plan.digest}"
    serial_runs = profile(
        Samples(device="cpu", ops=("a",), context=context, samples_s=(3.0, 3.0, 3.0)),
        Samples(device="npu", ops=("b",), context=context, samples_s=(7.0, 7.0, 7.0)),
    )
    emulated = emulated_problem(problem, ["npu"])
    own = emulated_plan_problem(emulated, ["npu"], serial_runs, plan)
    assert own.cost_s("cpu", ("a",)) == 3.0
    assert own.cost_s("npu", ("b",)) == 1.0
    with pytest.raises(ProfileError, match=r"the profile has no serial run of plan .* of 'tiny'; execute it first"):
        emulated_plan_problem(emulated, ["npu"], profile(), plan)
