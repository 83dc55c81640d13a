"""Scenarios: platforms and problems after changes, by hand, and every mistake in one line."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hetsim.analysis.change import parse_change
from hetsim.analysis.changed_costs import arithmetic_shares
from hetsim.analysis.scenario import Scenario, parse_scenario
from hetsim.core.errors import PlatformError, ProblemError
from hetsim.core.platform import Link, Memory
from hetsim.core.problem import Problem
from hetsim.scheduler.registry import make_plan
from hetsim.sim.check import check_timeline
from hetsim.sim.simulate import makespan_s, simulate
from tests.support.problems import charged, graph_of, plan_of, platform_of, problem_of, problems, sharing_of

LAUNCH_S = 0.5


def two_sorts() -> Problem:
    """``a`` and ``b`` (Conv), ``c`` (LRN) in a row; launches of half a second, a segment saves all but one."""
    graph = graph_of({"a": (), "b": ("a",), "c": ("b",)}, kinds={"a": "Conv", "b": "Conv", "c": "LRN"})
    costs_s = {"a": {"cpu": 4.5, "npu": 2.5}, "b": {"cpu": 4.5, "npu": 4.5}, "c": {"cpu": 1.0, "npu": 2.5}}
    platform = platform_of("cpu", "npu", setup_s=0.25, bandwidth_bytes_per_s=1000.0)
    platform = platform.with_devices(*(replace(device, launch_s=LAUNCH_S) for device in platform.devices))
    return problem_of(graph, costs_s, platform, launch_s=LAUNCH_S)


def changed(*settings: str) -> Problem:
    return parse_scenario(settings).problem(two_sorts())


@pytest.mark.equation("scenario")
def test_a_launch_does_not_get_faster_with_the_arithmetic() -> None:
    twice = changed("npu.speed=2")
    # 0.5 of 2.5 s is the launch: 0.5 + 2 / 2. All three as one segment: 0.5 + (2 + 4 + 2) / 2.
    assert twice.cost_s("npu", ("a",)) == 1.5
    assert twice.cost_s("npu", ("a", "b", "c")) == 4.5
    assert twice.cost_s("cpu", ("a",)) == 4.5
    assert changed("npu.speed=2", "npu.launch_s=0.5x").cost_s("npu", ("a",)) == 1.25
    assert changed("npu.launch_s=1").cost_s("npu", ("a", "b", "c")) == 9.0
    assert changed("npu.launch_s=0").platform.device("npu").launch_s == 0.0


@pytest.mark.equation("scenario")
def test_a_speed_may_hold_for_one_type_or_one_operator() -> None:
    convs = changed("npu.speed.Conv=4")
    # By operator what is not launch: a 2, b 4, c 2; convolutions four times as fast.
    assert convs.cost_s("npu", ("c",)) == 2.5
    assert convs.cost_s("npu", ("b",)) == 0.5 + 4 / 4
    assert convs.cost_s("npu", ("a", "b", "c")) == pytest.approx(0.5 + 2 / 4 + 4 / 4 + 2)
    # What says most about an operator counts, in whatever order it is said.
    for settings in (
        ("npu.speed=2", "npu.speed.Conv=4", "npu.speed.op:a=8"),
        ("npu.speed.op:a=8", "npu.speed.Conv=4", "npu.speed=2"),
    ):
        assert changed(*settings).cost_s("npu", ("a", "b", "c")) == pytest.approx(0.5 + 2 / 8 + 4 / 4 + 2 / 2)


@pytest.mark.equation("scenario")
def test_an_operator_that_cannot_run_alone_has_no_share_unless_none_can() -> None:
    # The NPU runs b only behind a: a is all of the segment's arithmetic, whose 9 s take 4.5.
    graph = graph_of({"a": (), "b": ("a",)})
    platform = platform_of("cpu", "npu")
    costs_s = {"a": {"cpu": 1.0, "npu": 3.0}, "b": {"cpu": 1.0, "npu": 6.0}}
    problem = problem_of(graph, costs_s, platform, refused=[("npu", ("b",))])
    assert arithmetic_shares(problem, "npu", ("a", "b")) == [1.0, 0.0]
    faster = parse_scenario(["npu.speed.op:a=2"]).problem(problem)
    assert faster.cost_s("npu", ("a", "b")) == problem.cost_s("npu", ("a", "b")) / 2
    nothing = problem_of(graph, {"a": {"cpu": 0.0}, "b": {"cpu": 0.0}}, platform_of("cpu"))
    assert arithmetic_shares(nothing, "cpu", ("a", "b")) == [0.5, 0.5]


@pytest.mark.equation("scenario")
def test_operators_may_become_unsupported() -> None:
    without = changed("npu.unsupported=LRN, op:a")
    assert [without.devices_for((op,)) for op in "abc"] == [("cpu",), ("cpu", "npu"), ("cpu",)]
    assert without.latency("npu", ("a", "b")) is None
    assert changed("npu.unsupported=Softmax").devices_for(("a",)) == ("cpu", "npu")  # a type that is not in this graph
    with pytest.raises(ProblemError, match=r"no device can run operator 'c' \(LRN\)"):
        changed("npu.unsupported=LRN", "cpu.unsupported=LRN")


@pytest.mark.equation("scenario")
def test_hand_overs_and_memory() -> None:
    # 1000 bytes at 1000 bytes per second, and a quarter of a second.
    assert changed("link.cpu->npu.setup_s=1").transfer_s("cpu", "npu", "a.out") == 2.0
    assert changed("link.cpu->npu.setup_s=1").transfer_s("npu", "cpu", "a.out") == 1.25
    assert changed("link.cpu->npu.bandwidth=2x").transfer_s("cpu", "npu", "a.out") == 0.75
    assert changed("link.cpu->npu.speed=2").transfer_s("cpu", "npu", "a.out") == 0.625
    assert changed("link.cpu->npu.speed=2").transfer_s("npu", "cpu", "a.out") == 1.25
    assert changed("handover=2x").transfer_s("npu", "cpu", "a.out") == 2.5
    assert changed("handover=0x").transfer_s("npu", "cpu", "a.out") == 0.0
    assert changed("handover=2x", "link.cpu->npu.setup_s=1").transfer_s("cpu", "npu", "a.out") == 4.0
    both = changed("handover=2x", "link.cpu->npu.setup_s=1", "link.cpu->npu.speed=4")
    assert both.transfer_s("cpu", "npu", "a.out") == 1.0  # 1 s and 1 s, by 4, by 1/2
    free = parse_scenario(["link.cpu->npu.setup_s=1"]).platform(platform_of("cpu", "npu", "gpu"))
    assert free.link("cpu", "npu").setup_s == 1.0
    narrow = replace(
        two_sorts(),
        platform=replace(
            two_sorts().platform, memory=Memory(alone_bytes_per_s={"cpu": 500.0}, shared_bytes_per_s=1000.0)
        ),
        traffic_function=lambda _device, _ops: 1000,
    )
    half = parse_scenario(["memory.bandwidth=0.5x"]).problem(narrow)
    assert half.platform.memory == Memory(alone_bytes_per_s={"cpu": 250.0}, shared_bytes_per_s=500.0)
    # 1000 bytes in 1 s want more than 500 a second: c takes 2 s on the CPU.
    plan = plan_of(narrow.graph, ("npu", "a b"), ("cpu", "c"))
    assert makespan_s(half, plan) - makespan_s(narrow, plan) == pytest.approx(1.0)


def sharing_after(*settings: str, names: tuple[str, ...] = ("cpu", "npu")) -> dict[str, tuple[float, float]]:
    """By device, what reading and making a tensor costs after settings: before them 1 and 2 s, on NPUs 4 and 8 s."""
    read_s = {(name, "a"): 4.0 if name.startswith("npu") else 1.0 for name in names}
    written_s = {key: 2 * seconds for key, seconds in read_s.items()}
    base = two_sorts()
    costs_s = {op: dict.fromkeys(names, 1.0) for op in "abc"}
    problem = replace(
        problem_of(base.graph, costs_s, platform_of(*names, bandwidth_bytes_per_s=1000.0)),
        sharing=sharing_of(read_s, written_s),
    )
    found = parse_scenario(settings).problem(problem)
    sharing = found.sharing
    assert sharing is not None
    return {
        name: (sharing.read_s(name, "a.out"), sharing.written_s(name, "a.out")) for name in found.platform.device_names
    }


@pytest.mark.equation("scenario")
def test_links_stand_for_what_their_ends_pay_for_shared_tensors() -> None:
    assert sharing_after("npu.speed=2") == {"cpu": (1.0, 2.0), "npu": (4.0, 8.0)}
    assert sharing_after("link.cpu->npu.speed=2") == {"cpu": (1.0, 1.0), "npu": (2.0, 8.0)}
    assert sharing_after("link.cpu->npu.bandwidth=4x") == {"cpu": (1.0, 0.5), "npu": (1.0, 8.0)}
    assert sharing_after("link.cpu->npu.setup_s=1") == {"cpu": (1.0, 2.0), "npu": (4.0, 8.0)}
    assert sharing_after("handover=2x", "link.npu->cpu.speed=4") == {"cpu": (0.5, 4.0), "npu": (8.0, 4.0)}
    assert sharing_after("handover=0x") == {"cpu": (0.0, 0.0), "npu": (0.0, 0.0)}
    # A bandwidth in bytes per second stands for all that bytes cost.
    assert sharing_after("link.cpu->npu.bandwidth=1e9") == {"cpu": (1.0, 0.0), "npu": (0.0, 8.0)}
    # Of several links the mean counts.
    three = ("cpu", "npu", "gpu")
    assert sharing_after("link.cpu->npu.speed=2", names=three) == {
        "cpu": (1.0, 1.5),
        "npu": (3.0, 8.0),
        "gpu": (1.0, 2.0),
    }
    assert sharing_after("npu.count=2") == {"cpu": (1.0, 2.0), "npu0": (4.0, 8.0), "npu1": (4.0, 8.0)}
    assert changed("handover=2x").sharing is None


@pytest.mark.equation("scenario")
def test_two_of_a_device_have_its_links_and_costs() -> None:
    base = two_sorts()
    platform = replace(
        base.platform,
        links={("cpu", "npu"): Link(setup_s=1.0, bandwidth_bytes_per_s=10.0), ("npu", "cpu"): Link(setup_s=2.0)},
        memory=Memory(alone_bytes_per_s={"npu": 7.0}),
    )
    two = parse_scenario(["npu.count=2", "npu.speed=2"]).problem(replace(base, platform=platform, _known={}))
    assert two.platform.device_names == ("cpu", "npu0", "npu1")
    assert {two.cost_s(name, ("a",)) for name in ("npu0", "npu1")} == {1.5}
    assert two.platform.link("cpu", "npu1") == platform.link("cpu", "npu")
    assert two.platform.link("npu1", "cpu") == platform.link("npu", "cpu")
    # Between the two: the slowest of the links to and from the one.
    assert two.platform.link("npu0", "npu1") == Link(setup_s=2.0, bandwidth_bytes_per_s=10.0)
    assert two.platform.memory.alone_bytes_per_s == {"npu0": 7.0, "npu1": 7.0}
    assert [device.label for device in two.platform.devices] == ["cpu", "npu0 (hypothetical)", "npu1 (hypothetical)"]
    assert parse_scenario(["npu.count=1"]).platform(platform).device_names == ("cpu", "npu")


def test_what_is_changed_says_that_it_is_hypothetical() -> None:
    faster = changed("npu.speed=2", "link.cpu->npu.setup_s=1").platform
    assert faster.name == "test, hypothetical: npu.speed=2, link.cpu->npu.setup_s=1"
    assert [device.label for device in faster.devices] == ["cpu", "npu (hypothetical)"]
    scenario = parse_scenario(["npu.speed=2", "npu.count=2"])
    assert scenario.devices(two_sorts().platform) == ("npu0", "npu1")
    nothing = Scenario()
    assert not nothing
    base = two_sorts()
    assert nothing.problem(base) is base


@pytest.mark.parametrize(
    ("settings", "description"),
    [
        (["npu"], r"--set 'npu' must look like npu.speed=4, "),
        (["npu=4"], r"must say which figure of 'npu' it sets, such as npu.speed=4"),
        (["npu.speed="], r"must look like"),
        (["npu.speed=0"], r"--set 'npu.speed=0': the value must be more than 0 and finite, got 0"),
        (["npu.speed=-1x"], r"must be more than 0 and finite, got -1"),
        (["npu.speed=nan"], r"must be more than 0 and finite, got nan"),
        (["npu.speed=inf"], r"must be more than 0 and finite, got inf"),
        (["npu.speed=fast"], r"'fast' is not a number; write one such as 4, 2e-6 or 2x"),
        (["npu.sped=4"], r"a device has no field 'sped'; it has speed, speed.TYPE, speed.op:NAME, launch_s, unsupp"),
        (["npu.count.Conv=2"], r"a device has no field 'count.Conv'"),
        (["npu.count=1.5"], r"a device can have 1, 2, ... 64 copies, got 1.5"),
        (["npu.count=2x"], r"a device can have 1, 2, ... 64 copies, got 2x"),
        (["tpu.speed=4"], r"--set 'tpu.speed=4': no device 'tpu' on platform 'test'; it has cpu, npu"),
        (["link.cpu->tpu.setup_s=0"], r"no device 'tpu' on platform 'test'; it has cpu, npu"),
        (["link.npu->npu.setup_s=0"], r"a device does not hand over to itself"),
        (["link.cpu.setup_s=0"], r"must name a link as link.FROM->TO.FIELD, such as link.cpu->npu.setup_s"),
        (["link.cpu->npu.latency=0"], r"a link has no field 'latency'; it has setup_s, bandwidth, speed"),
        (["link.cpu->npu.setup_s=-1"], r"must be 0 or more and finite, got -1"),
        (["link.cpu->npu.speed=0"], r"must be more than 0 and finite, got 0"),
        (["link.cpu->npu.bandwidth=0"], r"must be more than 0 and finite, got 0"),
        (["handover=1e-6"], r"must be a factor, such as handover=2x"),
        (["memory.size=2x"], r"the memory has no field 'size'; it has bandwidth"),
        (["memory.bandwidth=2x"], r"platform 'test' does not say what its memory sustains; give bytes per second, or"),
        (
            ["memory.bandwidth=1e9"],
            r"changes nothing, as the memory traffic of segments is not known; calibrate the platform",
        ),
        (["npu.speed=4", "npu.speed=2"], r"--set 'npu.speed=4' and 'npu.speed=2' set the same; keep one of the two"),
        (["npu.speed.Cnov=4"], r"'tiny' has no operators of type 'Cnov'; it has Conv, LRN"),
        (["npu.speed.op:z=4"], r"'tiny' has no operator 'z'; it has a, b, c"),
        (["npu.unsupported=Cnov"], r"'tiny' has no operators of type 'Cnov'; it has Conv, LRN"),
        (["npu.count=2", "cpu.count=2", "npu0.speed=2"], r"no device 'npu0' on platform 'test'; it has cpu, npu"),
    ],
)
def test_every_mistake_is_one_line(settings: list[str], description: str) -> None:
    with pytest.raises(PlatformError, match=description) as caught:
        changed(*settings)
    assert "\n" not in str(caught.value)


def test_copies_must_not_take_a_name_that_is_there() -> None:
    with pytest.raises(PlatformError, match=r"makes a device 'npu0', which the platform has already"):
        parse_scenario(["npu.count=2"]).platform(platform_of("npu", "npu0"))


@given(charged(problems(max_ops=6, max_devices=2)), st.sampled_from((0.5, 1.0, 2.0, 8.0)))
def test_plans_of_changed_problems_obey_the_model(problem: Problem, speed: float) -> None:
    name = problem.platform.device_names[-1]
    other = parse_scenario([f"{name}.speed={speed:g}", f"{name}.count=2", "handover=0.5x"]).problem(problem)
    plan = make_plan("individual", other)
    check_timeline(other.graph, other.platform, plan, simulate(other, plan))


@given(st.floats(1e-3, 1e3), st.floats(1e-6, 1e6))
def test_values_are_figures_or_factors(amount: float, figure: float) -> None:
    assert parse_change(f"npu.launch_s={amount!r}").of(figure) == amount
    assert parse_change(f"npu.launch_s={amount!r}x").of(figure) == figure * amount
    assert not parse_change("npu.launch_s=0").of(inf) > 0
