"""Emulated devices in worker processes beside real ones: time, outputs, hand-overs, refusals."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hetsim.core.dataflow import SharingCosts, resolve
from hetsim.core.errors import DeviceError, ModelError, PlatformError
from hetsim.core.plan import Split
from hetsim.core.platform import Device, Link, Platform
from hetsim.core.problem import Latency, Problem
from hetsim.models.model import random_inputs
from hetsim.models.reference import evaluate
from hetsim.models.segments.files import SegmentStore
from hetsim.runtime import Runtime
from hetsim.runtime.backends.emulated import EmulatedBackend, write_segment
from hetsim.runtime.emulation import Emulation, with_emulated
from hetsim.runtime.worker.arena import SUBMITTED, Arena, plan_layout
from hetsim.runtime.worker.loaded import LoadedProgram
from hetsim.runtime.worker.program import build_programs
from hetsim.runtime.worker.settings import Settings
from hetsim.scheduler.splits.placement import split_plan
from hetsim.scheduler.stages import Stage
from hetsim.sim.check import check_timeline
from hetsim.sim.simulate import makespan_s
from tests.support.clock import Clock
from tests.support.models import fork_join, make_plan
from tests.support.split_networks import split_problem, stack

MODEL = fork_join()
INPUTS = random_inputs(MODEL, seed=3)


def here() -> Platform:
    """A fake CPU beside an NPU that no engine drives."""
    return Platform(
        name="desk",
        devices=(
            Device(name="cpu", kind="cpu", nature="emulated", backend="fake"),
            Device(name="npu", kind="npu", nature="hypothetical", backend="none", cores=(0,)),
        ),
    )


PLATFORM = with_emulated(here(), ["npu"])


def emulation(op_s: float, *, setup_s: float = 0.0, copy: bool = False, refused: str = "") -> Emulation:
    """Each operator takes ``op_s`` on the NPU, and hand-overs take ``setup_s`` either way."""

    def latency(device: str, ops: tuple[str, ...]) -> Latency | None:
        return None if device == "npu" and refused in ops else Latency(op_s * len(ops) if device == "npu" else 0.0)

    link = Link(setup_s=setup_s, mode="copy" if copy else "zero-copy")
    platform = replace(PLATFORM, links={("cpu", "npu"): link, ("npu", "cpu"): link})
    problem = Problem(graph=MODEL.graph, platform=platform, latency_function=latency)
    return Emulation(model=MODEL, devices=("npu",), problem=problem, inputs=INPUTS)


@pytest.fixture(scope="module")
def runtime():
    with Runtime(PLATFORM) as made:
        yield made


@pytest.mark.parametrize("serial", [False, True])
def test_an_emulated_device_takes_its_time_and_hands_out_the_right_tensors(runtime: Runtime, serial: bool) -> None:
    plan = make_plan(MODEL, cpu=["stem", "left", "join"], npu=["right right2"])
    with runtime.load(MODEL, plan, emulation=emulation(2e-3)) as session:
        for _ in range(3):
            result = session.run(INPUTS, serial=serial)
            assert np.allclose(result.outputs["y"], evaluate(MODEL.proto, INPUTS)["y"], atol=1e-6)
            check_timeline(MODEL.graph, PLATFORM, plan, result.timeline)
            (npu,) = (span for span in result.timeline.compute if span.device == "npu")
            assert npu.duration_s > 4e-3 - 1e-9


@pytest.mark.equation("emulation")
def test_time_between_segments_is_made_up_for(runtime: Runtime) -> None:
    # On the NPU a segment starts when the one before ended, the first at the submission, whatever its worker does.
    plan = make_plan(MODEL, npu=["stem", "left", "right", "right2", "join"])
    with runtime.load(MODEL, plan, emulation=emulation(1e-3)) as session:
        results = [session.run(INPUTS) for _ in range(4)]
    for result in results:
        check_timeline(MODEL.graph, PLATFORM, plan, result.timeline)
        starts, ends = (result.stamps_ns - result.submitted_ns).T
        assert starts[0] == 0
        assert (starts[1:] == ends[:-1]).all()
        assert result.latency_s > 5e-3 - 1e-9
        assert (result.outputs["y"] == evaluate(MODEL.proto, INPUTS)["y"]).all()


def test_plans_with_different_splits_share_an_emulation(runtime: Runtime) -> None:
    model = stack(3, 3)
    inputs = random_inputs(model, seed=3)
    platform = replace(PLATFORM, links={("cpu", "npu"): Link(setup_s=1e-3), ("npu", "cpu"): Link(setup_s=1e-3)})
    problem = split_problem(model, platform, {"cpu": 0.0, "npu": 1e-6})
    shared = Emulation(model=model, devices=("npu",), problem=problem, inputs=inputs)
    right = evaluate(model.proto, inputs)["y"]
    pool = Stage(ops=("pool",), devices=("cpu",))
    for at in (2, 5):
        split = Split(("conv0", "conv1"), "rows", (at,))
        plan = split_plan(problem, [Stage(ops=split.ops, devices=("cpu", "npu"), splits=(split,)), pool])
        with runtime.load(model, plan, emulation=shared) as session:
            result = session.run(inputs)
        assert np.allclose(result.outputs["y"], right, atol=1e-5)
        target = problem.for_plan(plan)
        check_timeline(target.graph, platform, plan, result.timeline)
        (npu,) = (span for span in result.timeline.compute if span.device == "npu")
        assert npu.duration_s > target.cost_s("npu", npu.ops) - 1e-9
        assert result.latency_s > makespan_s(problem, plan) - 1e-9  # an emulated device is never early


@pytest.mark.parametrize("copy", [False, True])
@pytest.mark.equation("emulation")
def test_hand_overs_take_what_their_links_say(runtime: Runtime, copy: bool) -> None:
    plan = make_plan(MODEL, cpu=["stem", "left", "right2", "join"], npu=["right"])
    emulation_problem = emulation(1e-3, setup_s=3e-3, copy=copy)
    with runtime.load(MODEL, plan, emulation=emulation_problem) as session:
        result = session.run(INPUTS)
    check_timeline(MODEL.graph, emulation_problem.problem.platform, plan, result.timeline)  # no start before an arrival
    at = {
        step.segment.ops[0]: stamps for step, stamps in zip(result.flow.steps, result.stamps_ns.tolist(), strict=True)
    }
    assert at["right"][0] == at["stem"][1] + 3_000_000  # to the nanosecond, as it goes by stamps
    assert at["right2"][0] >= at["right"][1] + 3_000_000
    assert makespan_s(emulation_problem.problem, plan) == pytest.approx(7e-3)


@pytest.mark.equation("emulation")
def test_an_emulated_device_takes_longer_for_what_it_accesses(runtime: Runtime) -> None:
    plan = make_plan(MODEL, cpu=["stem", "left", "right2", "join"], npu=["right"])
    found = emulation(1e-3)
    seconds = {("npu", "s"): 2e-3, ("npu", "r"): 3e-3}  # the CPU pays in earnest, whatever the problem says
    sharing = SharingCosts(lambda *key: seconds.get(key, 1.0), lambda *key: seconds.get(key, 1.0))
    problem = replace(found.problem, sharing=sharing)
    with runtime.load(MODEL, plan, emulation=replace(found, problem=problem)) as session:
        result = session.run(INPUTS)
    (npu,) = (span for span in result.timeline.compute if span.device == "npu")
    assert 6e-3 - 1e-9 < npu.duration_s < 1.0


def test_copies_hold_the_one_memory_channel(runtime: Runtime) -> None:
    # s leaves the CPU for the NPU, and l after it. Copies of 5 ms: the second arrives 5 ms after the first, or later.
    plan = make_plan(MODEL, cpu=["stem", "left"], npu=["right", "right2", "join"])
    for copy in (False, True):
        with runtime.load(MODEL, plan, emulation=emulation(1e-6, setup_s=5e-3, copy=copy)) as session:
            result = session.run(INPUTS)
        steps = zip(result.flow.steps, result.stamps_ns.tolist(), strict=True)
        at = {step.segment.ops[0]: stamps for step, stamps in steps}
        assert at["right"][0] == at["stem"][1] + 5_000_000
        asked_ns = max(at["left"][1], at["right"][0]) if copy else at["left"][1]
        assert at["join"][0] == max(asked_ns + 5_000_000, at["right2"][1])


def test_several_requests_are_under_way_at_once(runtime: Runtime) -> None:
    # Each keeps the NPU for 2 ms, and hand-overs of 8 ms: one after the other would take 18 ms each.
    plan = make_plan(MODEL, cpu=["stem", "left", "join"], npu=["right right2"])
    with runtime.load(MODEL, plan, num_slots=3, emulation=emulation(1e-3, setup_s=8e-3)) as session:
        for _ in range(3):
            session.submit(INPUTS)
        results = []
        while len(results) < 3:
            results += session.collect(1.0)
    for result in results:
        check_timeline(MODEL.graph, PLATFORM, plan, result.timeline)
        assert result.latency_s > 18e-3 - 1e-9
        assert np.allclose(result.outputs["y"], evaluate(MODEL.proto, INPUTS)["y"], atol=1e-6)


@pytest.mark.equation("emulation")
def test_other_inputs_are_refused(runtime: Runtime) -> None:
    plan = make_plan(MODEL, npu=["stem left right right2 join"])
    with runtime.load(MODEL, plan, emulation=emulation(1e-3)) as session:
        session.run({"x": INPUTS["x"].copy()})
        with pytest.raises(
            ModelError, match=r"input 'x' is not the one that the outputs of npu \(emulated\) were comp"
        ):
            session.run(random_inputs(MODEL, seed=4))
        changed = INPUTS["x"].copy()
        changed[0, 0] += 1
        with pytest.raises(ModelError, match="load the plan again"):
            session.run({"x": changed})
        session.run(INPUTS)


def test_inputs_that_a_caller_changes_later_are_other_inputs(runtime: Runtime) -> None:
    given = {"x": INPUTS["x"].copy()}
    emulation_problem = replace(emulation(1e-3), inputs=given)
    with runtime.load(
        MODEL, make_plan(MODEL, npu=["stem left right right2 join"]), emulation=emulation_problem
    ) as session:
        given["x"][0, 0] += 1
        with pytest.raises(ModelError, match="load the plan again"):
            session.run(given)


def test_the_same_segment_at_another_speed_is_another_segment(runtime: Runtime) -> None:
    plan = make_plan(MODEL, npu=["stem left right right2 join"])
    found_s = []
    for op_s in (1e-3, 4e-3):
        with runtime.load(MODEL, plan, emulation=emulation(op_s)) as session:
            found_s.append(min(session.run(INPUTS).latency_s for _ in range(5)))
    assert 5e-3 - 1e-9 < found_s[0] < found_s[1]
    assert found_s[1] > 20e-3 - 1e-9


def test_who_says_nothing_of_an_emulated_device_or_asks_too_much_is_refused(runtime: Runtime) -> None:
    plan = make_plan(MODEL, npu=["stem left right right2 join"])
    with pytest.raises(PlatformError, match=r"the platform emulates npu, but the emulation describes none"):
        runtime.load(MODEL, plan)
    with pytest.raises(DeviceError, match=r"device 'npu' \(emulated\) cannot run segment 'stem \+4' as one"):
        runtime.load(MODEL, plan, emulation=emulation(1e-3, refused="join"))
    session = runtime.load(MODEL, plan, emulation=emulation(1e-3))  # the runtime is as good as before
    session.run(INPUTS)
    session.close()


def test_emulated_devices_get_cores_of_their_own() -> None:
    cores = sorted(os.sched_getaffinity(0))
    cpu = replace(here().device("cpu"), cores=(cores[0],))
    (emulated,) = (d for d in with_emulated(here().with_devices(cpu), ["npu"]).devices if d.name == "npu")
    assert emulated.label == "npu (emulated)"
    assert len(emulated.cores) == 1
    assert emulated.cores != cpu.cores
    more = Platform(
        name="many", devices=tuple(Device(name=f"npu{i}", kind="npu", backend="none") for i in range(len(cores) + 1))
    )
    with pytest.raises(PlatformError, match=r"cannot be emulated, as it needs its own core: this process may use"):
        with_emulated(more, more.device_names)
    with pytest.raises(PlatformError, match=r"no device 'tpu' on platform 'desk'; it has cpu, npu"):
        with_emulated(here(), ["tpu"])


@pytest.mark.equation("emulation")
def test_an_emulated_worker_keeps_the_model_s_time_to_the_nanosecond(tmp_path: Path) -> None:
    # Under a clock of ours, which moves on by 10 ns with each look: submitted at 2,000,000, "s" is there 1 ms later.
    plan = make_plan(MODEL, cpu=["stem", "left", "join"], npu=["right", "right2"])
    flow, emulation_problem = resolve(MODEL.graph, plan), emulation(2e-3, setup_s=1e-3)
    hand_overs = emulation_problem.hand_overs(flow)
    layout = plan_layout(flow, num_devices=2, num_slots=1, num_hand_overs=len(hand_overs))
    paths = emulation_problem.write_segments(flow, tmp_path)
    program = build_programs(
        flow, layout, MODEL, SegmentStore(MODEL, tmp_path), ("cpu", "npu"), hand_overs=hand_overs, emulated=paths
    )["npu"]
    clock, arena = Clock(), Arena(layout)
    backend = EmulatedBackend(PLATFORM.device("npu"), clock)
    settings = Settings(
        device=PLATFORM.device("npu"), index=1, wake_fds=(0, 0), spin_s=1.0, idle_spin_s=0.0, cache_bytes=0
    )
    compiled = [backend.compile(task.path) for task in program.tasks]
    loaded = LoadedProgram(program, arena, compiled, settings, clock_ns=clock)
    cells, number = arena.cells, {step.segment.ops[0]: i for i, step in enumerate(flow.steps)}
    cells[layout.submitted(0)] = 2_000_000
    cells[SUBMITTED] = cells[layout.done(number["stem"])] = 1
    (s_to_npu,) = (i for i, one in enumerate(hand_overs) if one.tensor == "s")
    cells[layout.arrival(0, s_to_npu)] = 3_000_000

    class Once:
        """Lets one request through, whose inputs are all there."""

        def wait(self, cell: int, value: int, spin_s: float, *, may_stop: bool) -> bool:  # noqa: ARG002
            return cells[cell] >= value

    loaded.serve(Once(), lambda _: None)  # type: ignore[arg-type]

    def stamps(op: str) -> list[int]:
        return cells[layout.stamp(0, number[op]) : layout.stamp(0, number[op]) + 2].tolist()

    (start_ns, end_ns), (later_ns, last_ns) = stamps("right"), stamps("right2")
    assert start_ns == 3_000_000
    assert 5_000_000 <= end_ns <= 5_000_020
    assert later_ns == end_ns
    assert end_ns + 2_000_000 <= last_ns <= end_ns + 2_000_020
    (r2_to_cpu,) = (i for i, one in enumerate(hand_overs) if one.tensor == "r2")
    assert cells[layout.arrival(0, r2_to_cpu)] == last_ns + 1_000_000
    assert np.allclose(arena.array(0, MODEL.graph.tensors["r2"]), evaluate(MODEL.proto, INPUTS, ["r2"])["r2"])
    del loaded
    arena.close()


def test_an_emulated_segment_waits_by_the_clock(tmp_path: Path) -> None:
    now_ns = [0]

    def clock_ns() -> int:
        now_ns[0] += 100
        return now_ns[0]

    write_segment(tmp_path / "a.npz", 1e-6, {"y": np.arange(3.0)})
    backend = EmulatedBackend(PLATFORM.device("npu"), clock_ns)
    out = np.zeros(3)
    run = backend.compile(tmp_path / "a.npz").bind({}, {"y": out})
    run(now_ns[0] - 400)  # it started 400 ns ago
    assert 600 <= now_ns[0] <= 700
    assert (out == [0, 1, 2]).all()
    start_ns = now_ns[0] + 100
    run()
    assert start_ns + 1000 <= now_ns[0] <= start_ns + 1100
    start_ns = now_ns[0]
    run(start_ns - 5000)  # later than it should have ended: it does not wait
    assert now_ns[0] <= start_ns + 200
