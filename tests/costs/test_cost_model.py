"""What segments cost by a profile: measured, predicted, shared; one problem for the search and for any plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import inf

import msgspec
import pytest

from hetsim.core.dataflow import resolve
from hetsim.core.errors import ProfileError
from hetsim.core.plan import Plan, Segment, Split
from hetsim.core.platform import Device, Link, Platform
from hetsim.core.problem import Latency
from hetsim.core.sources import Sheet
from hetsim.costs.cost_model import CostModel, plan_context
from hetsim.costs.fitting.calibrated import calibrated_s_per_byte
from hetsim.costs.problems import fitted, make_problem, plan_problem
from hetsim.costs.profile import Profile, Samples, SerialRuns, Unsupported
from hetsim.models.model import Model
from hetsim.models.split.planned import planned_model
from hetsim.models.split.rewrite import rewrite
from hetsim.sim.compiled import CompiledSimulator
from hetsim.sim.simulate import makespan_s
from tests.support.models import fork_join, make_plan
from tests.support.problems import platform_of
from tests.support.profiles import HEADER
from tests.support.split_networks import stack

MODEL = fork_join(num_rows=500_000)  # tensors of 16 MB
GRAPH = MODEL.graph
NUM_BYTES = GRAPH.tensors["s"].num_bytes
READ_S = NUM_BYTES * 1e-10
"""What reading a tensor takes longer that the other device accesses: 1.6 ms."""
PLATFORM = platform_of("cpu", "npu", setup_s=1e-5, bandwidth_bytes_per_s=2e10)
ALONE_S = {"stem": 1e-3, "left": 2e-3, "right": 4e-3, "right2": 1e-3, "join": 2e-3}


def empty_profile(model: Model = MODEL) -> Profile:
    return Profile(header=msgspec.structs.replace(HEADER, model_hash=model.hash))


def add_plan(
    profile: Profile,
    model: Model,
    plan: Plan,
    context: str,
    alone_s: Mapping[str, float] = ALONE_S,
    transfer_probe_s: float = 2e-6,
) -> None:
    """Serial runs of a plan: a segment takes what its operators take alone, and what reading costs by the probe."""
    planned = planned_model(model, plan)
    flow = resolve(planned.graph, plan)
    splits = tuple((one.ops, one.axis, one.at) for one in plan.rewrites)
    probes_s = (transfer_probe_s,) * 3 if len(plan.queues) > 1 else ()
    for device in plan.queues:
        profile.add(
            SerialRuns(
                device=device, context=context, speed_probe_s=(1e-4,) * 3, transfer_probe_s=probes_s, splits=splits
            )
        )
    for step in flow.steps:
        shared = flow.shared_by(step)
        read_s = READ_S * transfer_probe_s / 2e-6
        seconds = sum(alone_s[op] for op in step.segment.ops) + read_s * sum(t not in step.outputs for t in shared)
        profile.add(
            Samples(
                device=step.segment.device,
                ops=step.segment.ops,
                context=context,
                samples_s=(seconds,) * 3,
                shared=shared,
            )
        )


def profiled() -> Profile:
    """Each device alone, operators spread over both in some ways, and two operators as one."""
    profile = empty_profile()
    ops = [op.name for op in GRAPH.ops]
    for device in ("cpu", "npu"):
        add_plan(profile, MODEL, make_plan(MODEL, **{device: ops}), "configuration:operators")
    for number in range(1, 2 ** (len(ops) - 1)):
        queues: dict[str, list[str]] = {"cpu": [], "npu": []}
        for i, op in enumerate(ops):
            queues["npu" if number >> i & 1 else "cpu"].append(op)
        add_plan(profile, MODEL, make_plan(MODEL, **queues), f"configuration:spread {number}")
    pair = make_plan(MODEL, cpu=["stem", "left"], npu=["right right2", "join"])
    add_plan(profile, MODEL, pair, "configuration:pairs")
    return profile


PLAN = make_plan(MODEL, cpu=["stem left"], npu=["right right2", "join"])


@pytest.mark.equation("segment")
def test_a_problem_says_what_segments_take_by_themselves_and_what_sharing_costs() -> None:
    problem = make_problem(MODEL, PLATFORM, profiled())
    for op, seconds in ALONE_S.items():
        found = problem.latency("cpu", (op,))
        assert found is not None
        assert found.measured
        assert found.seconds == pytest.approx(seconds, rel=0.05)
    unmeasured = problem.latency("cpu", ("right", "right2"))
    assert unmeasured is not None
    assert not unmeasured.is_known
    sharing = problem.sharing
    assert sharing is not None
    assert sharing.read_s("npu", "s") == pytest.approx(READ_S, rel=0.1)
    assert sharing.written_s("npu", "s") < 0.1 * READ_S
    # Links delay by their set-up alone, as segments pay for bytes.
    assert problem.transfer_s("cpu", "npu", "s") == 1e-5
    assert problem.hand_over_s("cpu", "npu", "s") == pytest.approx(1e-5 + READ_S, rel=0.1)
    assert (problem.model_hash, problem.rewrites) == (MODEL.hash, ())


@pytest.mark.equation("sharing")
def test_every_segment_of_a_plan_that_reads_a_shared_tensor_pays_and_the_search_knows() -> None:
    # left and right read what the CPU made, one after the other on the NPU, and each pays for it.
    plan = make_plan(MODEL, cpu=["stem"], npu=["left", "right", "right2", "join"])
    profile = profiled()
    problem, met = make_problem(MODEL, PLATFORM, profile), plan_problem(MODEL, PLATFORM, profile, plan)
    assert makespan_s(met, plan) == pytest.approx(sum(ALONE_S.values()) + 2 * READ_S, rel=0.05)
    # The problem of the search says the same to the last bit, also by the simulator that the search uses.
    assert makespan_s(problem, plan) == makespan_s(met, plan) == CompiledSimulator(problem).run(plan.queues)


@pytest.mark.equation("sharing")
@pytest.mark.parametrize("kind", ["final", "replay"])
def test_a_plan_s_own_serial_runs_include_what_sharing_costs(kind: str) -> None:
    profile, context = profiled(), f"{kind}:{PLAN.digest}"
    assert plan_context(profile, PLAN) is None
    for segment in PLAN.segments:
        profile.add(Samples(device=segment.device, ops=segment.ops, context=context, samples_s=(2.0, 2.0, 2.0)))
    assert plan_context(profile, PLAN) == context
    own = plan_problem(MODEL, PLATFORM, profile, PLAN)
    assert own.sharing is None
    assert set(own.segment_times_s(PLAN.segments).values()) == {2.0}
    assert makespan_s(own, PLAN) == 2.0 * len(PLAN.segments) + 1e-5  # all wait for each other, over one link
    assert own.latency("npu", ("stem",)) == fitted(MODEL, PLATFORM, profile).problem().latency("npu", ("stem",))
    # Without them it is again a plan like any other.
    assert plan_context(profile.without(PLAN.digest), PLAN) is None


@pytest.mark.equation("sharing")
def test_a_replay_in_which_sharing_took_longer_than_usual_is_brought_to_what_is_usual() -> None:
    profile = profiled()
    for kind in ("replay", "final"):
        add_plan(profile, MODEL, PLAN, f"{kind}:{PLAN.digest}", transfer_probe_s=1e-5)
        times_s = plan_problem(MODEL, PLATFORM, profile, PLAN).segment_times_s(PLAN.segments)
        reads = {PLAN.queues["npu"][0]: 1, PLAN.queues["npu"][1]: 1}
        for segment, seconds in times_s.items():
            alone_s = sum(ALONE_S[op] for op in segment.ops)
            times = 5 if kind == "final" else 1  # executions beside them met the same
            assert seconds == pytest.approx(alone_s + times * READ_S * reads.get(segment, 0), rel=0.1)


@pytest.mark.equation("additive")
def test_serial_runs_beside_executions_come_before_replays() -> None:
    profile = profiled()
    for kind, seconds in (("final", 3.0), ("replay", 2.0)):
        for segment in PLAN.segments:
            context = f"{kind}:{PLAN.digest}"
            profile.add(Samples(device=segment.device, ops=segment.ops, context=context, samples_s=(seconds,)))
    assert plan_problem(MODEL, PLATFORM, profile, PLAN).cost_s("npu", ("join",)) == 3.0


@pytest.mark.equation("unable")
def test_refused_and_unmeasured_operators_cannot_run() -> None:
    profile = profiled()
    profile.add(Unsupported(device="npu", ops=("right", "right2"), reason="too big"))
    problem = make_problem(MODEL, PLATFORM, profile)
    assert problem.latency("npu", ("right", "right2")) is None
    assert problem.latency("npu", ("left", "right", "right2")) is None
    assert problem.latency("npu", ("right",)) is not None
    assert problem.latency("cpu", ("right", "right2")) is not None
    few = empty_profile()
    add_plan(few, MODEL, make_plan(MODEL, cpu=list(ALONE_S)), "configuration:operators")
    few.add(Samples(device="npu", ops=("left",), context="configuration:operators", samples_s=(1e-3,)))
    assert make_problem(MODEL, PLATFORM, few).devices_for(("right",)) == ("cpu",)


def test_a_device_without_serial_runs_is_named_unless_it_refuses_all() -> None:
    profile = empty_profile()
    add_plan(profile, MODEL, make_plan(MODEL, cpu=list(ALONE_S)), "configuration:operators")
    with pytest.raises(
        ProfileError,
        match=r"^the profile of 'fork_join' has no serial run on 'npu'; complete it with: hetsim profile fork_join "
        r"--platform test --out FILE$",
    ):
        make_problem(MODEL, PLATFORM, profile)
    for op in ALONE_S:
        profile.add(Unsupported(device="npu", ops=(op,), reason="never"))
    problem = make_problem(MODEL, PLATFORM, profile)
    assert problem.devices_for(("stem",)) == ("cpu",)
    assert problem.sharing is not None
    assert problem.sharing.read_s("npu", "s") == problem.sharing.written_s("npu", "s") == 0.0


def test_stated_times_stand_beside_measured_ones() -> None:
    figures = Sheet(peak_ops_per_s={"f32": 1e9}, memory_bytes_per_s=1e10)
    sheet = Device(name="sheet", kind="npu", backend="none", nature="hypothetical", sheet=figures)
    platform = replace(
        PLATFORM,
        devices=(*PLATFORM.devices, sheet),
        links={**PLATFORM.links, ("cpu", "sheet"): Link(bandwidth_bytes_per_s=1e9)},
    )
    problem = make_problem(MODEL, platform, profiled())
    stated, measured = problem.latency("sheet", ("right",)), problem.latency("cpu", ("right",))
    assert stated is not None
    assert measured is not None
    assert (stated.stated, stated.measured, measured.measured) == (True, False, True)
    # Nothing is known of what sharing costs there, so links to it charge bytes.
    assert problem.sharing is not None
    assert problem.sharing.read_s("sheet", "s") == 0.0
    assert problem.transfer_s("cpu", "sheet", "s") == NUM_BYTES / 1e9


def test_costs_are_fitted_once_to_each_revision_of_a_profile() -> None:
    profile = profiled()
    first = fitted(MODEL, PLATFORM, profile)
    assert fitted(MODEL, PLATFORM, profile) is first
    before_s = first.problem().cost_s("cpu", ("join",))
    profile.add(Samples(device="cpu", ops=("join",), context="replay:1", samples_s=(1.0, 1.0, 1.0)))
    assert first.problem().cost_s("cpu", ("join",)) == before_s
    second = fitted(MODEL, PLATFORM, profile)
    assert second is not first
    assert second.problem().cost_s("cpu", ("join",)) > before_s
    assert fitted(MODEL, replace(PLATFORM, name="other"), profile) is not second


STACK = stack(3, 3)
HALVES = (Split(("conv0", "conv1"), "rows", (4,)),)
UPPER, LOWER = rewrite(STACK, HALVES).parts[0]
CONCAT = rewrite(STACK, HALVES).joins["t2"]


def split_plan() -> Plan:
    """A part of the two convolutions on either device, and the rest on the CPU."""
    queues = {"cpu": (Segment("cpu", UPPER), Segment("cpu", (CONCAT, "pool"))), "npu": (Segment("npu", LOWER),)}
    return Plan(model="stack", model_hash=STACK.hash, queues=queues, rewrites=HALVES)


def stack_profile() -> Profile:
    profile = empty_profile(STACK)
    for device in ("cpu", "npu"):
        for ops in (["conv0", "conv1", "pool"], ["conv0 conv1 pool"], ["conv0 conv1", "pool"]):
            context = f"configuration:{len(ops)}{len(ops[0])}"
            alone_s = {"conv0": 1e-2, "conv1": 2e-2, "pool": 5e-3}
            add_plan(profile, STACK, make_plan(STACK, **{device: ops}), context, alone_s)
    return profile


@pytest.mark.equation("parts")
def test_parts_cost_their_share_until_they_are_measured() -> None:
    profile, plan = stack_profile(), split_plan()
    problem = make_problem(STACK, PLATFORM, profile)
    parts = problem.rewritten(HALVES).problem
    share_s = 1e-2 * 5 / 8 + 2e-2 * 4 / 8
    assert parts.cost_s("cpu", UPPER) == pytest.approx(share_s, rel=0.1)
    assert parts.latency("cpu", UPPER) == Latency(parts.cost_s("cpu", UPPER))  # a prediction
    assert parts.cost_s("cpu", ("pool",)) == problem.cost_s("cpu", ("pool",))
    assert parts.rewrites == HALVES
    # Where a plan was run that has them, they are known.
    slow_s = dict.fromkeys((*UPPER, *LOWER), 1e-2) | {CONCAT: 1e-3, "pool": 5e-3}
    add_plan(profile, STACK, plan, "final:other", slow_s)
    again = make_problem(STACK, PLATFORM, profile).rewritten(HALVES).problem
    found = again.latency("cpu", UPPER)
    assert found is not None
    assert found.measured
    assert found.seconds == pytest.approx(3e-2, rel=0.1)
    assert not again.latency("cpu", LOWER).measured  # type: ignore[union-attr]


def test_a_plan_with_splits_has_its_own_problem_and_error() -> None:
    profile, plan = stack_profile(), split_plan()
    costs = fitted(STACK, PLATFORM, profile)
    problem = costs.problem_for(plan)
    assert problem.graph is planned_model(STACK, plan).graph
    assert makespan_s(problem, plan) == makespan_s(costs.problem(planned_model(STACK, plan)), plan)
    before_s = costs.error_s(plan)
    assert before_s > 0
    add_plan(profile, STACK, plan, f"replay:{plan.digest}", dict.fromkeys((*UPPER, *LOWER, CONCAT, "pool"), 5e-3))
    assert fitted(STACK, PLATFORM, profile).error_s(plan) != before_s
    assert fitted(STACK, PLATFORM, profile).problem_for(plan).sharing is None


@pytest.mark.equation("plan-error")
def test_a_measured_plan_has_a_smaller_error_than_one_of_predictions() -> None:
    profile = profiled()
    costs = CostModel(MODEL, PLATFORM, profile)
    measured = make_plan(MODEL, cpu=["stem", "left"], npu=["right right2", "join"])
    predicted = make_plan(MODEL, cpu=["stem left"], npu=["right right2 join"])
    assert 0 < costs.error_s(measured) < costs.error_s(predicted)
    assert {device: {one.ops for one in found} for device, found in costs.left_out.items()} == {
        "cpu": set(),
        "npu": {("right", "right2")},
    }


@pytest.mark.equation("sampled")
def test_sampled_costs_depend_on_the_seed_alone() -> None:
    profile = profiled()
    costs = CostModel(MODEL, PLATFORM, profile)
    unknown = ("cpu", ("stem", "left"))
    drawn = [costs.sampled(seed).problem().cost_s(*unknown) for seed in (3, 3, 4)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert costs.problem().cost_s(*unknown) == CostModel(MODEL, PLATFORM, profile).problem().cost_s(*unknown)
    assert makespan_s(costs.sampled(3).problem(), PLAN) != makespan_s(costs.problem(), PLAN)


@pytest.mark.equation("sharing")
def test_calibration_says_half_of_a_byte_for_each_end_and_copies_cost_neither() -> None:
    platform: Platform = platform_of("cpu", "npu", "gpu", bandwidth_bytes_per_s=250.0)
    copying = Link(bandwidth_bytes_per_s=250.0, mode="copy")
    platform = replace(platform, links={**platform.links, ("gpu", "cpu"): copying})
    # 4 ms a byte on each link: half of it from the NPU, nothing from the GPU, whose tensors are copied; the mean.
    assert calibrated_s_per_byte(platform, "cpu") == pytest.approx((1e-3, 2e-3))
    assert calibrated_s_per_byte(platform_of("cpu"), "cpu") == (0.0, 0.0)
    assert calibrated_s_per_byte(platform_of("cpu", "npu", bandwidth_bytes_per_s=inf), "cpu") == (0.0, 0.0)
