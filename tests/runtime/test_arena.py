"""The shared memory's layout: nothing that is alive at the same time overlaps, and dead memory is used again."""

from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hetsim.core.dataflow import Dataflow, resolve
from hetsim.runtime.worker.arena import SUBMITTED, Arena, plan_layout
from tests.support.models import chain, fork_join, make_plan

MODEL = chain(12)


def alive_together(flow: Dataflow) -> list[tuple[str, str]]:
    """Pairs of tensors that some timing lets exist at the same time, from first principles.

    Two tensors never meet if every step that touches one of them must have ended before the other's maker starts.
    """
    before: list[set[int]] = []
    for step in flow.steps:
        before.append(set().union(*({other} | before[other] for other in step.waits_for)))
    maker = {tensor: i for i, step in enumerate(flow.steps) for tensor in step.outputs}
    touches = {tensor: {i} for tensor, i in maker.items()}
    for i, step in enumerate(flow.steps):
        for tensor, _ in step.inputs:
            touches.setdefault(tensor, set()).add(i)
    names = [t for t in touches if t in maker]
    pairs = []
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            a_first = touches[a] <= before[maker[b]] and a not in flow.graph.outputs
            b_first = touches[b] <= before[maker[a]] and b not in flow.graph.outputs
            if not (a_first or b_first):
                pairs.append((a, b))
    return pairs


def overlap(flow: Dataflow, a: str, b: str, offsets: dict[str, int]) -> bool:
    size = {t: flow.graph.tensors[t].num_bytes for t in (a, b)}
    return offsets[a] < offsets[b] + size[b] and offsets[b] < offsets[a] + size[a]


@given(st.lists(st.sampled_from(["cpu", "npu"]), min_size=12, max_size=12))
@settings(max_examples=50)
def test_tensors_that_may_live_together_never_share_memory(devices: list[str]) -> None:
    queues: dict[str, list[str]] = {"cpu": [], "npu": []}
    for i, device in enumerate(devices):
        queues[device].append(f"op{i}")
    flow = resolve(MODEL.graph, make_plan(MODEL, **queues))
    layout = plan_layout(flow, num_devices=2, num_slots=1)
    for a, b in alive_together(flow):
        assert not overlap(flow, a, b, dict(layout.offsets))


def test_fork_join_keeps_both_branches_apart() -> None:
    model = fork_join()
    flow = resolve(model.graph, make_plan(model, cpu=["stem", "left", "join"], npu=["right", "right2"]))
    layout = plan_layout(flow, num_devices=2, num_slots=1)
    for a, b in alive_together(flow):
        assert not overlap(flow, a, b, dict(layout.offsets))


def test_a_chain_needs_room_for_its_ends_and_two_tensors_between() -> None:
    # t0 is read by op0 alone, so t2 may lie where t0 lay, and so on in turn; only the output may not be reused.
    flow = resolve(MODEL.graph, make_plan(MODEL, cpu=[f"op{i}" for i in range(12)]))
    layout = plan_layout(flow, num_devices=1, num_slots=1)
    assert len(set(layout.offsets.values())) == 2


def test_slots_have_memory_of_their_own() -> None:
    flow = resolve(MODEL.graph, make_plan(MODEL, cpu=[" ".join(f"op{i}" for i in range(12))]))
    layout = plan_layout(flow, num_devices=1, num_slots=3)
    arena = Arena(layout)
    output = MODEL.graph.tensors["t12"]
    arrays = [arena.array(slot, output) for slot in range(3)]
    for value, array in enumerate(arrays):
        array[...] = value
    assert [float(array[0]) for array in arrays] == [0.0, 1.0, 2.0]
    arena.cells[SUBMITTED] = 7
    other = Arena(layout, os.dup(arena.descriptor))
    assert other.cells[SUBMITTED] == 7
    assert np.array_equal(other.array(2, output), arrays[2])
    other.close()
    arena.close()


def test_control_cells_do_not_share_a_cache_line() -> None:
    flow = resolve(MODEL.graph, make_plan(MODEL, cpu=[f"op{i}" for i in range(12)]))
    layout = plan_layout(flow, num_devices=2, num_slots=1)
    cells = [
        0,
        8,
        layout.serial(0),
        *(layout.parked(d) for d in range(2)),
        *(layout.current(d) for d in range(2)),
    ]
    cells += [layout.done(i) for i in range(12)]
    assert len({cell // 8 for cell in cells}) == len(cells)
    assert max(cells) < layout.stamp(0, 0)


def test_memory_that_cannot_be_had_is_said_before_anything_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    from hetsim.core.errors import PlanError

    def full(*_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    flow = resolve(MODEL.graph, make_plan(MODEL, cpu=[f"op{i}" for i in range(12)]))
    with pytest.raises(PlanError, match=r"no \d+ MiB of shared memory .* fewer requests in flight"):
        Arena(plan_layout(flow, num_devices=1, num_slots=1))
