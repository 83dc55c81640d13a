"""What parts of split operators cost, by hand: shares of whole runs, data sheets, files of times, refusals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hetsim.core.plan import Split
from hetsim.core.platform import Device, Platform
from hetsim.core.problem import Latency, PartWork, Problem
from hetsim.core.sources import Sheet, Times
from hetsim.costs.parts import COPY_BYTES_PER_S, part_seconds, work_of
from hetsim.costs.problems import make_problem
from hetsim.costs.profile import Header, Profile, Samples, SerialRuns, Unsupported
from hetsim.models.split.rewrite import rewrite
from tests.support.models import fake_platform
from tests.support.split_networks import random_network, random_splits, split_problem, stack

MODEL = stack(3, 3)
HALVES = (Split(("conv0", "conv1"), "rows", (4,)),)
FIRST, SECOND = (
    ("slice t0[rows 0:6]", "conv0[rows 0:5]", "conv1[rows 0:4]"),
    ("slice t0[rows 2:8]", "conv0[rows 3:8]", "conv1[rows 4:8]"),
)
SLICED_BYTES = 4 * 6 * 5 * 4
"""Four channels of six rows of five numbers of four bytes."""


@pytest.mark.equation("parts")
def test_a_part_takes_its_share_of_the_run_as_one_segment() -> None:
    seconds = {("a",): 3.0, ("b",): 2.0, ("a", "b"): 4.0}
    # Of the 3 s without the launch, a has 2 of 3 parts and b 1: 1 + 3 * (2/3 * 0.5 + 1/3 * 0.25).
    work = PartWork(shares={"a": 0.5, "b": 0.25}, copied_bytes=0)
    found = part_seconds(work, lambda ops: Latency(seconds[ops]), 1.0)
    assert found == pytest.approx(1 + 3 * (2 / 3 * 0.5 + 1 / 3 * 0.25))
    # Copies come on top, and without operators there are the launch and the copies.
    copies = replace(work, copied_bytes=int(COPY_BYTES_PER_S))
    assert part_seconds(copies, lambda ops: Latency(seconds[ops]), 1.0) == pytest.approx(found + 1.0)
    assert part_seconds(PartWork(shares={}, copied_bytes=0), lambda _: None, 1.0) == 1.0
    # An operator that cannot run alone counts as nothing beside others that can, and all alike if none can.
    alone = {("a",): Latency(3.0), ("a", "b"): Latency(4.0)}
    assert part_seconds(work, alone.get, 1.0) == pytest.approx(1 + 3 * 0.5)
    assert part_seconds(work, {("a", "b"): Latency(4.0)}.get, 1.0) == pytest.approx(1 + 3 * 0.375)
    # What cannot run as one segment has no parts, and a launch is no longer than all of it.
    assert part_seconds(work, {("a",): Latency(3.0), ("b",): Latency(2.0)}.get, 1.0) is None
    assert part_seconds(work, lambda _: Latency(0.5), 1.0) == pytest.approx(0.5)


def test_the_work_of_a_part_is_what_its_operators_compute() -> None:
    rewritten = rewrite(MODEL, HALVES).model
    assert work_of(rewritten, FIRST) == PartWork(shares={"conv0": 5 / 8, "conv1": 4 / 8}, copied_bytes=SLICED_BYTES)
    both = work_of(rewritten, (*FIRST[1:], *SECOND[1:]))
    assert both == PartWork(shares={"conv0": 10 / 8, "conv1": 1.0}, copied_bytes=0)
    assert work_of(MODEL, ("conv0", "pool")) == PartWork(shares={"conv0": 1.0, "pool": 1.0}, copied_bytes=0)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_a_splitting_says_of_parts_what_the_rewritten_graph_has(seed: int) -> None:
    rng = np.random.default_rng(seed)
    model = random_network(rng)
    problem = split_problem(model)
    assert problem.splitting is not None
    for split in random_splits(model, rng):
        rewritten = rewrite(model, (split,))
        for work, ops in zip(problem.splitting.parts(split), rewritten.parts[0], strict=True):
            found = work_of(rewritten.model, ops)
            assert work.shares == found.shares
            assert work.copied_bytes == found.copied_bytes
        assert sum(work.shares[split.ops[-1]] for work in problem.splitting.parts(split)) == pytest.approx(1.0)


def problem_with(*records: Samples | SerialRuns | Unsupported) -> Problem:
    """Single operators that take 1 s, 2 s and 0.5 s, the first two as one 2.5 s, and these records."""
    header = Header(model="stack", model_hash=MODEL.hash, machine="m", engines={"cpu": "e", "npu": "e"}, date="today")
    found = Profile(header=header)
    for device in ("cpu", "npu"):
        for ops, seconds in {("conv0",): 1.0, ("conv1",): 2.0, ("pool",): 0.5, ("conv0", "conv1"): 2.5}.items():
            context = f"configuration:{len(ops)}"
            found.add(Samples(device=device, ops=ops, context=context, samples_s=(seconds,) * 3))
    for record in records:
        found.add(record)
    return make_problem(MODEL, fake_platform(), found)


MEASURED = (
    SerialRuns(
        device="cpu",
        context="replay:x",
        speed_probe_s=(1.0,) * 3,
        splits=tuple((one.ops, one.axis, one.at) for one in HALVES),
    ),
    Samples(device="cpu", ops=FIRST, context="replay:x", samples_s=(1.6,) * 3),
)


def test_measured_runs_give_the_costs_of_their_parts() -> None:
    problem = problem_with()
    parts = problem.rewritten(HALVES).problem
    share = (1.0 * 5 / 8 + 2.0 * 4 / 8) / 3.0
    assert parts.cost_s("cpu", FIRST) == pytest.approx(2.5 * share, rel=0.1)
    found = parts.latency("cpu", FIRST)
    assert found is not None
    assert not found.is_known
    # Whole operators keep their costs, measured ones too.
    assert parts.latency("cpu", ("pool",)) == problem.latency("cpu", ("pool",))
    assert parts.rewrites == HALVES
    assert parts.rewritten(()).problem.cost_s("cpu", ("conv0", "conv1")) == problem.cost_s("cpu", ("conv0", "conv1"))


def test_measured_parts_cost_what_was_measured_and_refused_ones_are_refused() -> None:
    problem = problem_with(*MEASURED, Unsupported(device="npu", ops=SECOND, reason="said so"))
    parts = problem.rewritten(HALVES).problem
    found = parts.latency("cpu", FIRST)
    assert found is not None
    assert found.measured
    assert found.seconds == pytest.approx(1.6, rel=0.05)
    assert parts.latency("npu", SECOND) is None
    assert parts.latency("npu", SECOND[:2]) is not None
    # Other parts and devices: as before on the NPU, where nothing was measured.
    before = problem_with().rewritten(HALVES).problem
    assert parts.cost_s("npu", FIRST) == before.cost_s("npu", FIRST)
    assert parts.cost_s("cpu", SECOND) > before.cost_s("cpu", SECOND)


def test_parts_of_a_refused_segment_are_refused() -> None:
    parts = problem_with(Unsupported(device="npu", ops=("conv0", "conv1"), reason="no")).rewritten(HALVES).problem
    assert parts.latency("npu", FIRST) is None
    assert parts.latency("npu", FIRST[:2]) is not None


def hypothetical(**settings: object) -> Platform:
    """One device with these sources of times."""
    device = Device(name="npu", kind="npu", backend="none", nature="hypothetical", **settings)  # type: ignore[arg-type]
    return Platform(name="board", devices=(device,))


def test_a_data_sheet_gives_parts_like_any_operator() -> None:
    sheet = Sheet(peak_ops_per_s={"f32": 1e6}, memory_bytes_per_s=1e12, elements_per_s=1e9)
    parts = make_problem(MODEL, hypothetical(sheet=sheet, launch_s=1e-3)).rewritten(HALVES).problem
    macs = 4 * 4 * 9 * 5  # of one row: channels, weights of a filter, columns
    # A slice reads and writes six rows of 20 numbers; nine rows of the convolutions are computed.
    assert parts.cost_s("npu", FIRST) == pytest.approx(1e-3 + 6 * 20 / 1e9 + 2 * macs * 9 / 1e6)
    assert parts.latency("npu", FIRST) == Latency(parts.cost_s("npu", FIRST), stated=True)
    # Where the memory is what limits, it moves the slice twice, the weights, and what is computed.
    slow = Sheet(peak_ops_per_s={"f32": 1e15}, memory_bytes_per_s=1e6, on_chip_bytes=10**6)
    parts = make_problem(MODEL, hypothetical(sheet=slow)).rewritten(HALVES).problem
    assert parts.cost_s("npu", FIRST[:1]) == pytest.approx(2 * SLICED_BYTES / 1e6)
    assert parts.cost_s("npu", FIRST[1:]) == pytest.approx((SLICED_BYTES + 2 * 4 * 4 * 9 * 4 + 4 * 4 * 5 * 4) / 1e6)


def test_a_file_of_times_gives_parts_their_share(tmp_path: Path) -> None:
    (tmp_path / "times.csv").write_text("ops,ms\nconv0,1000\nconv1,2000\nconv0;conv1,2500\npool,500\n")
    times = Times(file=str(tmp_path / "times.csv"))
    parts = make_problem(MODEL, hypothetical(times=times)).rewritten(HALVES).problem
    share = (1.0 * 5 / 8 + 2.0 * 4 / 8) / 3.0
    assert parts.cost_s("npu", FIRST) == pytest.approx(2.5 * share + SLICED_BYTES / COPY_BYTES_PER_S)
    assert parts.latency("npu", ("pool",)) == Latency(0.5, stated=True)
    # A device that lists what it runs copies only if the list says so.
    supported = ("Conv", "GlobalAveragePool", "Concat")
    parts = make_problem(MODEL, hypothetical(times=times)).rewritten(HALVES)
    listed = hypothetical(times=times, supported_ops=supported)
    other = replace(listed.devices[0], name="cpu", supported_ops=())
    platform = replace(listed, devices=(*listed.devices, other))
    parts_of_both = make_problem(MODEL, platform).rewritten(HALVES).problem
    assert parts_of_both.devices_for(FIRST[:1]) == ("cpu",)
    assert parts_of_both.devices_for(FIRST[1:]) == ("npu", "cpu")
