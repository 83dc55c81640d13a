"""Services on fake devices: several plans at once, who goes first, and what happens when a device fails."""

from __future__ import annotations

import os
import signal
from itertools import pairwise

import numpy as np
import pytest

from hetsim.core.errors import DeviceError, PlanError
from hetsim.core.serving.arrivals import Arrivals, periodic, saturated
from hetsim.core.serving.deployment import Deployment, Instance
from hetsim.core.serving.outcome import Outcome
from hetsim.core.serving.service import Policy, Service, Workload
from hetsim.models.model import random_inputs
from hetsim.models.reference import evaluate
from hetsim.runtime import Runtime
from hetsim.runtime.inference import Inference
from tests.support.models import fake_platform, fork_join, make_plan

MODEL = fork_join()
EVERYTHING = "stem left right right2 join"
ON_CPU, ON_NPU = make_plan(MODEL, cpu=[EVERYTHING]), make_plan(MODEL, npu=[EVERYTHING])
ON_BOTH = make_plan(MODEL, cpu=["stem", "left", "join"], npu=["right right2"])
PLATFORM = fake_platform(op_s="0.002")
INPUTS = random_inputs(MODEL)


@pytest.fixture(scope="module")
def runtime():
    with Runtime(PLATFORM) as made:
        yield made


def deployment(*plans, num_slots: int = 2) -> Deployment:
    return Deployment(instances=tuple(Instance(plan=plan, num_slots=num_slots) for plan in plans))


def serve(runtime: Runtime, service: Service, on_result=None) -> Outcome:
    names = [one.name for one in service.workloads]
    with runtime.load_service(service, dict.fromkeys(names, MODEL)) as loaded:
        return loaded.serve(service, dict.fromkeys(names, INPUTS), on_result=on_result, with_runs=True)


def check_order(service: Service, outcome: Outcome) -> None:
    """A device runs one segment at a time, and each plan's segments in its order, request by request."""
    for device in PLATFORM.device_names:
        own = [run for run in outcome.runs if run.device == device]
        assert all(before.end_s <= after.start_s for before, after in pairwise(own))
        for i, workload in enumerate(service.workloads):
            for k, one in enumerate(workload.deployment.instances):
                ran = [run for run in own if (run.workload, run.instance) == (i, k)]
                requests = np.flatnonzero(outcome.workloads[i].instances == k).tolist()
                queue = [segment.ops for segment in one.plan.queues.get(device, ())]
                assert [(run.request, run.ops) for run in ran] == [(r, ops) for r in requests for ops in queue]


def test_instances_work_side_by_side_and_every_output_is_right(runtime: Runtime) -> None:
    service = Service(
        workloads=(
            Workload(name="a", deployment=deployment(ON_CPU, ON_NPU, ON_BOTH), arrivals=saturated(12)),
            Workload(name="b", deployment=deployment(ON_BOTH), arrivals=periodic(0.01, 4)),
        )
    )
    expected = evaluate(MODEL.proto, INPUTS)
    results: list[tuple[int, int]] = []

    def check(workload: int, request: int, inference: Inference) -> None:
        results.append((workload, request))
        for name, array in inference.outputs.items():
            np.testing.assert_allclose(array, expected[name], rtol=1e-5)

    outcome = serve(runtime, service, check)
    check_order(service, outcome)
    assert sorted(results) == [(0, request) for request in range(12)] + [(1, request) for request in range(4)]
    assert set(outcome.workloads[0].instances.tolist()) == {0, 1, 2}
    assert outcome.workloads[1].due_s.tolist() == pytest.approx([0.0, 0.01, 0.02, 0.03])
    assert all(one.num_dropped == 0 for one in outcome.workloads)
    assert all(0 < share <= 1 for share in outcome.utilisation.values())


@pytest.mark.parametrize(("policy", "first"), [("fcfs", "early"), ("edf", "urgent"), ("priority", "urgent")])
def test_policies_decide_who_goes_first(runtime: Runtime, policy: Policy, first: str) -> None:
    def workload(name: str, due_s: float, deadline_s: float, priority: int) -> Workload:
        return Workload(
            name=name,
            deployment=deployment(ON_CPU),
            arrivals=Arrivals(1, (due_s,)),
            deadline_s=deadline_s,
            priority=priority,
        )

    busy = workload("busy", 0.0, 1.0, 0)  # has the device for 10 ms, in which the others become due
    service = Service(
        workloads=(busy, workload("early", 1e-3, 9.0, 2), workload("urgent", 2e-3, 2.0, 1)), policy=policy
    )
    outcome = serve(runtime, service)
    ends_s = {one.name: one.ends_s[0] for one in outcome.workloads[1:]}
    assert min(ends_s, key=ends_s.__getitem__) == first


def test_overload_drops_the_newest_and_counts_them(runtime: Runtime) -> None:
    one = Workload(
        name="a", deployment=deployment(ON_CPU, num_slots=1), arrivals=periodic(1e-4, 20), max_waiting=2, deadline_s=1.0
    )
    served = serve(runtime, Service(workloads=(one,))).workloads[0]
    assert served.num_dropped == int((served.instances < 0).sum()) > 10
    assert served.instances[:1].tolist() == [0]
    assert served.miss_rate == served.num_dropped / 20


def test_a_service_with_other_plans_than_were_loaded_is_refused(runtime: Runtime) -> None:
    one = Service(workloads=(Workload(name="a", deployment=deployment(ON_CPU), arrivals=saturated(1)),))
    two = Service(workloads=(Workload(name="a", deployment=deployment(ON_CPU, ON_NPU), arrivals=saturated(1)),))
    more = Service(workloads=(Workload(name="a", deployment=deployment(ON_CPU, num_slots=3), arrivals=saturated(1)),))
    with runtime.load_service(one, {"a": MODEL}) as loaded:
        with pytest.raises(PlanError, match="the service has 2 instances, and 1 plans are loaded"):
            loaded.serve(two, {"a": INPUTS})
        with pytest.raises(PlanError, match="3 requests in flight, and its plan was loaded for 2"):
            loaded.serve(more, {"a": INPUTS})


def test_a_killed_device_ends_the_service_with_its_name() -> None:
    service = Service(workloads=(Workload(name="a", deployment=deployment(ON_CPU, ON_NPU), arrivals=saturated(50)),))
    with Runtime(PLATFORM) as runtime, runtime.load_service(service, {"a": MODEL}) as loaded:

        def kill(_workload: int, request: int, _inference: Inference) -> None:
            if request == 3:
                os.kill(runtime.pids["npu"], signal.SIGKILL)

        with pytest.raises(DeviceError, match="'npu' was ended by signal 9"):
            loaded.serve(service, {"a": INPUTS}, on_result=kill)


def test_a_hanging_device_is_found_while_requests_go_on_arriving() -> None:
    one = Workload(name="a", deployment=deployment(ON_BOTH), arrivals=periodic(0.02, 50_000), max_waiting=2)
    service = Service(workloads=(one,))
    with (
        Runtime(fake_platform(hang="right2")) as runtime,
        runtime.load_service(service, {"a": MODEL}) as loaded,
        pytest.raises(DeviceError, match="hangs in segment 'right' of 2"),
    ):
        loaded.serve(service, {"a": INPUTS})


def test_sessions_serve_alone_after_a_service(runtime: Runtime) -> None:
    service = Service(workloads=(Workload(name="a", deployment=deployment(ON_BOTH), arrivals=saturated(3)),))
    with runtime.load_service(service, {"a": MODEL}) as loaded:
        loaded.serve(service, {"a": INPUTS})
        with runtime.load(MODEL, ON_NPU) as other:
            assert other.run(INPUTS).latency_s > 0
        again = loaded.serve(service, {"a": INPUTS})
        assert again.workloads[0].num_dropped == 0
