"""Deployments and scenarios on make-believe devices, and what is chosen by simulation."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from hetsim.core.errors import PlatformError, ProblemError
from hetsim.core.plan import Plan
from hetsim.core.serving.deployment import Deployment, Instance
from hetsim.io.platform_file import load_platform
from hetsim.io.serving.deployment_file import load_deployment
from hetsim.io.serving.scenario_file import ModelRequests, ServingScenario
from hetsim.scheduler.throughput.mixture import Mixture
from hetsim.sim.segments import DurationFunction
from hetsim.tuner.progress import Silent
from hetsim.tuner.scenario.pipeline import OURS, WHOLE, run_scenario
from hetsim.tuner.scenario.planning import Planner, check_load, highest_factor, plan_model
from hetsim.tuner.serving.candidates import cycle_of, mixed
from hetsim.tuner.serving.measured import MeasuredFigures, ServingPace
from hetsim.tuner.serving.objective import Objective
from hetsim.tuner.serving.outcome import ContenderOutcome, choose
from hetsim.tuner.serving.pipeline import tune_deployment
from hetsim.tuner.serving.simulated import DeploymentSimulator, Figures
from hetsim.tuner.serving.trials import largest_rate
from tests.support.models import fork_join
from tests.support.problems import graph_of, plan_of, platform_of, problem_of
from tests.support.tuning import QUICK, calibrated_platform

ONE = graph_of({"a": ()})
ON_TWO = problem_of(ONE, {"a": {"cpu": 2.0, "npu": 3.0}}, platform_of("cpu", "npu"))
ON_CPU, ON_NPU = plan_of(ONE, ("cpu", "a")), plan_of(ONE, ("npu", "a"))
SPEED = calibrated_platform(op_s="0.001")


def deployment(*plans: Plan, num_slots: int = 1) -> Deployment:
    return Deployment(instances=tuple(Instance(plan=plan, num_slots=num_slots) for plan in plans))


def test_the_largest_rate_keeps_the_limit_and_a_larger_one_does_not() -> None:
    simulator = DeploymentSimulator(deployment(ON_CPU, num_slots=3), lambda _: ON_TWO)
    found = simulator.fastest(2.5)
    assert found is not None
    assert found.p99_s <= 2.5 < simulator.at(found.every_s * 0.9).p99_s
    assert 0.43 < found.throughput_per_s < 0.5  # some of the rate is left, as queues of a full device never end
    assert simulator.fastest(1.9) is None


def test_rounds_of_few_requests_begin_with_idle_devices_and_meet_all_noise() -> None:
    def noise_of(_: Plan) -> DurationFunction:
        return lambda draw, _: 2.0 + (draw == 7)  # one of fifty requests takes longer

    simulator = DeploymentSimulator(deployment(ON_CPU), lambda _: ON_TWO, noise_of)
    assert simulator.at(10.0, num_requests=2).p50_s == pytest.approx(2.0)
    assert simulator.at(10.0, num_requests=2).p99_s == pytest.approx(3.0)
    # With a request every second, the queue of a device that takes two grows as long as the round lasts.
    assert simulator.at(1.0, num_requests=2).p50_s < simulator.at(1.0, num_requests=20).p50_s


@pytest.mark.parametrize(
    ("first_per_s", "lowest", "highest"),
    [
        (120.0, 75.0, 80.0),  # above what can be served: down until the limit is kept
        (60.0, 75.0, 80.0),  # below it: up as long as it is kept
        (math.inf, 75.0, 80.0),  # a request is always waiting
    ],
)
def test_rates_are_tried_until_the_limit_is_kept(first_per_s: float, lowest: float, highest: float) -> None:
    def trial(every_s: float) -> Figures:
        """A device that serves 100 requests a second, with short queues up to 80."""
        wanted_per_s = 1 / every_s if every_s else math.inf
        p99_s = 0.01 if wanted_per_s <= 80 else 0.02 if wanted_per_s <= 100 else 1.0
        return Figures(every_s=every_s, throughput_per_s=min(wanted_per_s, 100.0), p50_s=0.01, p99_s=p99_s)

    found = largest_rate(trial, 1 / first_per_s, 0.015)
    assert found is not None
    assert lowest < found.throughput_per_s <= highest
    assert largest_rate(trial, 1 / first_per_s, 0.015, at_least_per_s=90.0) is None
    assert largest_rate(trial, 1 / first_per_s, 0.005) is None
    assert largest_rate(trial, 0.0, 2.0) == trial(0.0)


@pytest.mark.parametrize(("rates", "cycle"), [((1.0,), (0,)), ((3.0, 1.0), (0, 0, 1, 0)), ((1.0, 1.0), (0, 1))])
def test_a_cycle_follows_the_rates(rates: tuple[float, ...], cycle: tuple[int, ...]) -> None:
    assert cycle_of(rates) == cycle


def test_instances_of_a_mixture_get_their_shares() -> None:
    mixture = Mixture(plans=(ON_CPU, ON_NPU), rates_per_s=(0.5, 0.25), bound_per_s=1.0, space="all")
    for one in mixed(mixture):
        if one.dispatch == "round_robin":
            share = sum(one.instances[number].plan == ON_CPU for number in one.full_cycle) / len(one.full_cycle)
            assert share == pytest.approx(2 / 3)
            assert set(one.full_cycle) == set(range(len(one.instances)))


def contender(name: str, per_s: float, p99_s: float, *, width: float = 0.0, num_plans: int = 1) -> ContenderOutcome:
    figures = Figures(every_s=0.0, throughput_per_s=per_s, p50_s=p99_s / 2, p99_s=p99_s)
    measured = MeasuredFigures(
        figures=figures,
        low_per_s=per_s - width,
        high_per_s=per_s + width,
        p99_low_s=p99_s,
        p99_high_s=p99_s,
        num_requests=100,
    )
    return ContenderOutcome(
        name=name, deployment=deployment(*[ON_CPU] * num_plans), simulated=figures, measured=measured, error=0.0
    )


@pytest.mark.parametrize(
    ("contenders", "objective", "rejected", "winner"),
    [
        ([contender("a", 10, 1), contender("b", 11, 1)], Objective(), (), "b"),
        ([contender("a", 10, 1), contender("b", 11, 1)], Objective(), ("b",), "a"),
        # The intervals cannot tell them apart, and one has fewer plans.
        ([contender("a", 10.9, 1, width=0.2), contender("b", 11, 1, num_plans=2)], Objective(), (), "a"),
        ([contender("a", 10, 1), contender("b", 11, 3)], Objective(max_latency_s=2.0), (), "a"),
        ([contender("a", 10, 2), contender("b", 10, 1)], Objective(goal="p99", every_s=1.0), (), "b"),
    ],
)
def test_the_best_measured_is_recommended(
    contenders: list[ContenderOutcome], objective: Objective, rejected: tuple[str, ...], winner: str
) -> None:
    assert choose(contenders, objective, rejected) == winner


def test_a_deployment_is_tuned_and_written(tmp_path: Path) -> None:
    pace = ServingPace(num_rounds=2, round_s=0.0)
    outcome = tune_deployment(fork_join(), SPEED, tmp_path, Objective(), options=QUICK, pace=pace)
    assert {one.name for one in outcome.contenders} == {"single:cpu", "single:npu", "side_by_side", "ours"}
    assert outcome.outputs_match
    found, every_s = load_deployment(tmp_path / "deployment.json")
    assert found.key == outcome.best.deployment.key
    assert every_s == 0.0
    written = json.loads((tmp_path / "summary.json").read_text())
    assert written["winner"] == outcome.winner
    assert written["contenders"]["side_by_side"]["num_plans"] == 2
    assert (tmp_path / "deployments.png").read_bytes().startswith(b"\x89PNG")
    measured = {one.name: one.measured.figures.throughput_per_s for one in outcome.contenders}
    assert measured["side_by_side"] > 1.3 * max(measured["single:cpu"], measured["single:npu"])


def test_the_rate_under_a_limit_is_tried_on_the_devices(tmp_path: Path) -> None:
    pace = ServingPace(num_rounds=2, round_s=0.1)
    outcome = tune_deployment(fork_join(), SPEED, tmp_path, Objective(max_latency_s=0.02), options=QUICK, pace=pace)
    _, every_s = load_deployment(tmp_path / "deployment.json")
    assert every_s > 0 or outcome.best.measured.figures.p99_s <= 0.02


def test_a_limit_that_no_plan_keeps_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match=r"no deployment keeps latencies below 0.1 ms at any rate.*larger"):
        tune_deployment(fork_join(), SPEED, tmp_path, Objective(max_latency_s=1e-4), options=QUICK)
    assert not (tmp_path / "deployment.json").exists()


def test_devices_whose_times_are_not_measured_serve_no_requests(tmp_path: Path) -> None:
    with pytest.raises(PlatformError, match="the times of device 'cpu' are not measured"):
        tune_deployment(fork_join(), load_platform("phone"), tmp_path / "out", Objective(), options=QUICK)
    assert not (tmp_path / "out").exists()


def requests(name: str, every_s: float, deadline_s: float = math.inf) -> ModelRequests:
    return ModelRequests(name=name, model=name, every_s=every_s, deadline_s=deadline_s)


def test_the_load_is_bounded_by_the_devices() -> None:
    models = [plan_model(requests(name, 4.0), ON_TWO, []) for name in ("a", "b")]
    # 1/4 + 1/4 requests a second; the CPU serves 1/2 and the NPU 1/3.
    assert highest_factor(models) == pytest.approx((1 / 2 + 1 / 3) / (1 / 2))
    assert check_load(models) > 1


def test_a_scenario_above_the_bound_is_refused_with_the_models_that_exceed_it() -> None:
    models = [plan_model(requests(name, every_s), ON_TWO, []) for name, every_s in (("a", 3.0), ("b", 1.0))]
    with pytest.raises(ProblemError, match=r"at most 0.62 times its rates fit.*b 200%, a 67%"):
        check_load(models)


def test_a_deadline_below_the_fastest_plan_is_refused() -> None:
    with pytest.raises(ProblemError, match=r"a has a deadline of 1.9e\+03 ms, and the fastest plan takes 2e\+03 ms"):
        plan_model(requests("a", 4.0, 1.9), ON_TWO, [])


def test_the_policy_and_the_devices_are_chosen_by_simulation() -> None:
    models = [plan_model(requests("a", 4.0, 2.5), ON_TWO, []), plan_model(requests("b", 4.0, 3.5), ON_TWO, [])]
    scenario = ServingScenario(models=tuple(one.requests for one in models), seconds=40.0)
    planner = Planner(scenario, models, seed=0)
    best = planner.best()
    assert [one.miss_rate for one in best.outcome.workloads] == [0.0, 0.0]
    assert best.deployments[0].instances[0].plan.queues.keys() == {"cpu"}
    assert best.deployments[1].instances[0].plan.queues.keys() == {"npu"}
    factor, _ = planner.highest_rate(whole_models_only=True)
    assert 1.0 <= factor <= highest_factor(models)


def test_a_scenario_is_served_and_written(tmp_path: Path) -> None:
    scenario = ServingScenario(models=(requests("a", 0.03, 0.05), requests("b", 0.05, 0.08)), seconds=0.3)
    model = fork_join()
    outcome = run_scenario(scenario, {"a": model, "b": model}, SPEED, tmp_path, options=QUICK, stages=Silent())
    assert outcome.executions.keys() == {OURS, WHOLE}
    for one in outcome.executions.values():
        assert [len(served.due_s) for served in one.measured.workloads] == [10, 6]
        assert [served.num_dropped for served in one.measured.workloads] == [0, 0]
    written = json.loads((tmp_path / "summary.json").read_text())
    assert written["contenders"]["ours"]["models"]["b"]["measured"]["num_requests"] == 6
    trace = json.loads((tmp_path / "measured.trace.json").read_text())
    assert {"a 0", "b 0"} <= {event["name"] for event in trace["traceEvents"] if event["ph"] == "b"}
    load_deployment(tmp_path / "a" / "deployment.json")
