"""Probes of how fast cores are, and which serial runs count while some are disturbed."""

from __future__ import annotations

import os
from typing import cast

import pytest

from hetsim.core.plan import Plan
from hetsim.models.model import random_inputs
from hetsim.runtime import Runtime
from hetsim.runtime.interference_monitor import InterferenceMonitor
from hetsim.runtime.measure.profiler import MAX_RUNS_PER_REPEAT, MOST_WARM_UPS, Effort, run_serially
from hetsim.runtime.worker.probes.speed import make_speed_probe
from tests.support.models import make_plan
from tests.support.scripted import FREE_S, MODEL, PLAN, SHARED_S, Scripted, serially_run


def test_slowness_is_beside_what_a_tenth_of_readings_is_faster_than() -> None:
    interference_monitor = InterferenceMonitor()
    assert interference_monitor.slowness(serially_run({})) == 0.0
    assert interference_monitor.slowness(serially_run({"cpu": 1.0})) < 0  # nothing to go by
    for reading in (0.5, *[1.0] * 4, *[1.6] * 15):  # one lucky reading, and a core that is shared most of the time
        interference_monitor.learn(serially_run({"cpu": reading, "npu": 1.0}))
    assert interference_monitor.slowness(serially_run({"cpu": 1.6})) == pytest.approx(0.6)
    assert interference_monitor.slowness(serially_run({"cpu": 1.1, "npu": 1.3})) == pytest.approx(0.3)
    assert interference_monitor.is_undisturbed(serially_run({"cpu": 1.05}))
    assert not interference_monitor.is_undisturbed(serially_run({"cpu": 1.1}))


@pytest.mark.equation("undisturbed")
@pytest.mark.parametrize(("follows", "exponent"), [(True, 1.0), (False, 0.05)])
def test_probes_that_runs_do_not_follow_disturb_nothing(follows: bool, exponent: float) -> None:
    interference_monitor = InterferenceMonitor()
    for reading in [1.0, 1.12] * 300:
        interference_monitor.learn(serially_run({"cpu": reading}, follows=follows))
    assert interference_monitor.exponent == pytest.approx(exponent, abs=0.01)
    assert interference_monitor.is_undisturbed(serially_run({"cpu": 1.12})) is not follows
    assert interference_monitor.slowness(serially_run({"cpu": 2.0})) == pytest.approx(2**exponent - 1, abs=0.02)


@pytest.mark.equation("undisturbed")
def test_cores_that_lie_far_apart_are_slow_where_devices_hand_over() -> None:
    interference_monitor = InterferenceMonitor()
    for far in (False, True):
        interference_monitor.learn(serially_run({"cpu": 1.0, "npu": 1.0}, {"cpu": 0.4 if far else 0.1, "npu": 0.1}))
    assert interference_monitor.slowness(serially_run({"cpu": 1.0})) == 0.0  # alone
    assert interference_monitor.slowness(serially_run({"cpu": 1.0, "npu": 1.0}, {"cpu": 0.1, "npu": 0.1})) == 0.0
    assert interference_monitor.slowness(
        serially_run({"cpu": 1.0, "npu": 1.0}, {"cpu": 0.1, "npu": 0.4})
    ) == pytest.approx(0.3 / 1.1)


@pytest.mark.parametrize(
    ("slow_serial_runs", "num_serial_runs"),
    [(0, 12), (3, 15), (12, 24), (100, 24)],  # wanted are 12; no more than twice as many are made
)
@pytest.mark.equation("undisturbed")
def test_serial_runs_on_a_slow_core_do_not_count_until_there_are_twice_as_many(
    slow_serial_runs: int, num_serial_runs: int
) -> None:
    runtime = Scripted([FREE_S] * MOST_WARM_UPS + [SHARED_S] * slow_serial_runs)
    serial_runs = run_serially(cast(Runtime, runtime), MODEL, PLAN, {}, Effort(repeats=12))
    assert len(serial_runs) == num_serial_runs
    assert MAX_RUNS_PER_REPEAT == 2


@pytest.mark.parametrize("plan", [PLAN, make_plan(MODEL, cpu=["op0", "op2"], npu=["op1"])], ids=["alone", "both"])
@pytest.mark.equation("undisturbed")
def test_each_device_of_a_serial_run_reads_what_another_wrote(runtime: Runtime, plan: Plan) -> None:
    with runtime.load(MODEL, plan) as session:
        inputs = random_inputs(MODEL)
        assert session.run(inputs).transfer_probes_s == {}
        for _ in range(3):
            serial_run = session.run(inputs, serial=True)
            assert set(serial_run.speed_probes_s) == set(plan.queues)
            assert set(serial_run.transfer_probes_s) == (set(plan.queues) if len(plan.queues) > 1 else set())
            assert all(seconds > 0 for seconds in serial_run.transfer_probes_s.values())


def test_a_speed_probe_leaves_the_process_on_its_cores() -> None:
    cores = os.sched_getaffinity(0)
    for named in ((), tuple(cores)[:1], tuple(cores)):
        assert make_speed_probe(named)() > 0
        assert os.sched_getaffinity(0) == cores
