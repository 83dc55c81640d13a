"""The problem that emulated devices execute, by hand."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import pytest
from hetsim.costs.fitting.transfer_costs import TransferCosts

from hetsim.analysis.emulated import emulated_plan_problem, emulated_problem
from hetsim.core.errors import ProfileError
from hetsim.core.platform import Link, Memory
from hetsim.core.problem import Problem
from hetsim.costs.profile import Header, Profile, Samples
from hetsim.sim.simulate import makespan_s
from tests.support.problems import graph_of, plan_of, platform_of, problem_of


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


@pytest.mark.equation("links")
def test_links_cost_what_real_devices_do_not_pay(monkeypatch: pytest.MonkeyPatch) -> None:
    # By byte the CPU pays 1 ms when it reads and 3 ms when it writes, the NPU 1 ms and 2 ms.
    transfer_costs = {
        "cpu": TransferCosts(read_s_per_byte=1e-3, written_s_per_byte=3e-3),
        "npu": TransferCosts(read_s_per_byte=1e-3, written_s_per_byte=2e-3),
        "gpu": TransferCosts(read_s_per_byte=2e-3),
    }
    monkeypatch.setattr("hetsim.analysis.emulated.fit_transfer_costs", lambda *_: transfer_costs)
    platform = emulated_problem(base(), ["npu"], profile()).platform
    # The problem charges no device, so the emulated NPU pays nothing, and the link all that the CPU does not pay.
    assert platform.link("cpu", "npu").bandwidth_bytes_per_s == pytest.approx(1 / (4e-3 - 3e-3))
    assert platform.link("cpu", "npu").written_s_per_byte == 3e-3
    assert platform.link("cpu", "npu").read_s_per_byte == 0.0
    assert platform.link("npu", "cpu").bandwidth_bytes_per_s == pytest.approx(1 / (4e-3 - 1e-3))
    assert platform.link("npu", "cpu").read_s_per_byte == 1e-3
    assert platform.link("cpu", "npu").setup_s == 0.25
    # Both ends are real and pay 5 ms, more than the 4 ms of the link.
    assert platform.link("cpu", "gpu").bandwidth_bytes_per_s == inf
    # A copy costs its reader nothing.
    assert platform.link("gpu", "cpu") == base().platform.link("gpu", "cpu")
    # Without measurements no device pays.
    assert emulated_problem(base(), ["npu"]).platform == base().platform


@pytest.mark.equation("links")
def test_emulated_devices_pay_what_the_problem_charges_and_links_what_it_charges_real_ones_beyond_what_they_pay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = {"cpu": TransferCosts(read_s_per_byte=1e-3, written_s_per_byte=3e-3)}
    monkeypatch.setattr("hetsim.analysis.emulated.fit_transfer_costs", lambda *_: real)
    # Links as measured, but all hand-overs twice as dear: the CPU pays 1 and 3 ms of 2 and 6, the NPU 8 and 10.
    links = {
        ("cpu", "npu"): Link(setup_s=0.25, read_s_per_byte=8e-3, written_s_per_byte=6e-3),
        ("npu", "cpu"): Link(setup_s=0.25, read_s_per_byte=2e-3, written_s_per_byte=10e-3),
    }
    problem = replace(base(), platform=replace(base().platform, links=links))
    emulated = emulated_problem(problem, ["npu"], profile())
    there, back = emulated.platform.link("cpu", "npu"), emulated.platform.link("npu", "cpu")
    assert (there.read_s_per_byte, there.written_s_per_byte) == (8e-3, 3e-3)
    assert (back.read_s_per_byte, back.written_s_per_byte) == (1e-3, 10e-3)
    assert there.bandwidth_bytes_per_s == pytest.approx(1 / 3e-3)
    assert back.bandwidth_bytes_per_s == pytest.approx(1 / 1e-3)
    plan = plan_of(problem.graph, ("cpu", "a"), ("npu", "b"))
    assert list(emulated.segment_times_s(plan.segments).values()) == pytest.approx([2.0 + 3.0, 1.0 + 8.0])
    # a's 1000 bytes take the same time in all, whoever pays: 2 s, 14 s and 1 s, and the setup
    assert makespan_s(emulated, plan) == pytest.approx(makespan_s(problem, plan))
    # The CPU's own serial runs include what it pays.
    serial_runs = profile(
        *(
            Samples(device=device, ops=(op,), context=f"final:{plan.digest}", samples_s=(5.5, 5.5, 5.5))
            for device, op in (("cpu", "a"), ("npu", "b"))
        )
    )
    own = emulated_plan_problem(emulated, ["npu"], serial_runs, plan)
    assert list(own.segment_times_s(plan.segments).values()) == pytest.approx([5.5, 9.0])
    assert own.platform.link("cpu", "npu").bandwidth_bytes_per_s == there.bandwidth_bytes_per_s


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
