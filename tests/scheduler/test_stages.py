"""Stages: shares that end at once, blocks, and plans made of stages."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hetsim.core.dataflow import resolve
from hetsim.core.errors import PlanError
from hetsim.core.plan import Split
from hetsim.io.plan_file import load_plan, save_plan
from hetsim.models.model import random_inputs
from hetsim.models.reference import evaluate
from hetsim.models.split.planned import planned_model
from hetsim.runtime import Runtime
from hetsim.scheduler.splits.placement import split_plan
from hetsim.scheduler.stages import (
    Stage,
    balanced,
    boundaries,
    coarse_blocks,
    merged,
)
from hetsim.sim.check import check_timeline
from tests.support.models import fake_platform
from tests.support.split_networks import channel_splits, row_split, split_problem, stack

MODEL = stack(3, 3, 1)
PROBLEM = split_problem(MODEL)


def test_shares_move_until_all_parts_end_at_once() -> None:
    # 10 and 10 rows take 3 and 1 s, each row 0.2 s of that: five rows change sides, and both take 2 s.
    assert balanced((10, 10), (3.0, 1.0), (0.2, 0.2)) == ((5, 15), (pytest.approx(2.0), pytest.approx(2.0)))
    # Without any row the first part would still take 4 s: it keeps one, and the other takes 0.5 + 0.9 s.
    widths, times = balanced((10, 10), (5.0, 0.5), (0.1, 0.1))
    assert widths == (1, 19)
    assert times == (pytest.approx(4.1), pytest.approx(1.4))


@given(
    widths=st.lists(st.integers(1, 40), min_size=2, max_size=4),
    rates=st.lists(st.floats(0.01, 10), min_size=4, max_size=4),
    fixed=st.lists(st.floats(0, 5), min_size=4, max_size=4),
)
def test_balanced_parts_hold_everything_and_end_within_a_row_of_each_other(
    widths: list[int], rates: list[float], fixed: list[float]
) -> None:
    each = rates[: len(widths)]
    times = [extra + width * rate for extra, width, rate in zip(fixed, widths, each, strict=False)]
    found, predicted = balanced(widths, times, each)
    assert sum(found) == sum(widths)
    assert min(found) >= 1
    for k, (width, seconds) in enumerate(zip(found, predicted, strict=True)):
        assert seconds == pytest.approx(times[k] + (width - widths[k]) * each[k], abs=1e-9)
    # Whoever ends last cannot give a row to another who would then end earlier than it does now.
    last = max(range(len(found)), key=lambda k: predicted[k])
    if found[last] > 1:
        assert all(predicted[k] + each[k] >= predicted[last] - 1e-9 for k in range(len(found)) if k != last)


def test_boundaries_leave_no_part_empty() -> None:
    assert boundaries(55, (0.5, 0.5)) == (28,)
    assert boundaries(64, (0.3, 0.7), 16) == (16,)
    assert boundaries(3, (0.1, 0.9)) == ()


def test_items_are_dealt_out_in_steps() -> None:
    # 40 channels by 16: one step each, and the 8 that are left go to the last.
    assert balanced((20, 20), (1.0, 1.0), (0.05, 0.05), 16) == ((16, 24), (pytest.approx(0.8), pytest.approx(1.2)))


def test_neighbours_on_one_device_become_one_stage() -> None:
    a, b = (Stage(ops=(op,), devices=("npu",)) for op in "ab")
    shared = Stage(ops=("c",), devices=("cpu", "npu"), splits=(Split(("c",), "rows", (1,)),))
    d = Stage(ops=("d",), devices=("npu",))
    e = Stage(ops=("e",), devices=("cpu",))
    assert merged([a, b, shared, d, e]) == (Stage(ops=("a", "b"), devices=("npu",)), shared, d, e)
    assert merged([a, shared, b]) == (a, shared, b)


def test_blocks_never_join_what_is_split_to_what_is_not() -> None:
    assert coarse_blocks(PROBLEM, lambda ops: float(len(ops)), 1) == (("conv0", "conv1", "conv2"), ("pool",))


def stages(*, head: str = "npu") -> tuple[Stage, ...]:
    split = row_split(PROBLEM, ("conv0", "conv1"), (0.5, 0.5))
    assert split is not None
    channels = channel_splits(PROBLEM, ("conv2",), (0.5, 0.5))
    both = ("cpu", "npu")
    return (
        Stage(ops=("conv0", "conv1"), devices=both, splits=(split,)),
        Stage(ops=("conv2",), devices=both, splits=channels),
        Stage(ops=("pool",), devices=(head,)),
    )


def test_a_plan_of_stages_runs_and_survives_its_file(tmp_path: Path) -> None:
    plan = split_plan(PROBLEM, stages())
    save_plan(plan, tmp_path / "plan.json")
    again = load_plan(tmp_path / "plan.json")
    assert again == plan
    assert again.digest == plan.digest
    model = planned_model(MODEL, again)
    assert [segment.ops for segment in plan.queues["npu"]][-1] == ("concat t3[channels 0:2 + 2:4]", "pool")
    resolve(model.graph, again)
    inputs = random_inputs(MODEL)
    right = evaluate(MODEL.proto, inputs)["y"]
    with Runtime(fake_platform()) as runtime, runtime.load(MODEL, again) as session:
        result = session.run(inputs)
    assert np.allclose(result.outputs["y"], right, atol=1e-5)
    check_timeline(model.graph, fake_platform(), again, result.timeline)


def test_three_devices_share_a_run() -> None:
    devices = ("cpu", "npu0", "npu1")
    first = row_split(PROBLEM, ("conv0",), (0.25, 0.5, 0.25))
    second = row_split(PROBLEM, ("conv1", "conv2"), (0.5, 0.25, 0.25))
    assert first is not None
    assert second is not None
    plan = split_plan(
        split_problem(MODEL, fake_platform(*devices)),
        (
            Stage(ops=("conv0",), devices=devices, splits=(first,)),
            Stage(ops=("conv1", "conv2"), devices=devices, splits=(second,)),
            Stage(ops=("pool",), devices=("npu1",)),
        ),
    )
    inputs = random_inputs(MODEL)
    with Runtime(fake_platform(*devices)) as runtime, runtime.load(MODEL, plan) as session:
        outputs = session.run(inputs).outputs
    assert np.allclose(outputs["y"], evaluate(MODEL.proto, inputs)["y"], atol=1e-5)


def test_a_split_is_part_of_what_a_plan_does() -> None:
    plan = split_plan(PROBLEM, stages())
    assert plan.digest != split_plan(PROBLEM, stages(head="cpu")).digest
    assert plan.rewrites == tuple(split for stage in stages() for split in stage.splits)


def test_a_malformed_split_in_a_file_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    save_plan(split_plan(PROBLEM, stages()), path)
    text = path.read_text()
    path.write_text(text.replace('"axis": "rows"', '"axis": "columns"', 1))
    with pytest.raises(PlanError, match="malformed: Invalid enum value 'columns'"):
        load_plan(path)
    path.write_text(text.replace('"at": [\n    4\n   ]', '"at": [0]', 1))
    with pytest.raises(PlanError, match=r"ends its parts at \[0\]; give numbers that ascend"):
        load_plan(path)
