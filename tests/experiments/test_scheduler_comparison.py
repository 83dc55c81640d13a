"""The comparison of schedulers at tiny size."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from experiments import scheduler_comparison
from experiments.scheduler_comparison import Limits, networks, parse_schedulers, parse_sizes, random_graphs
from experiments.shared.scheduler_rows import SchedulerLine
from experiments.shared.synthetic_costs import synthetic_problem
from hetsim.core.errors import PlanError
from hetsim.models.importer import load_model
from hetsim.scheduler.registry import REFEREES, algorithm_names
from hetsim.tuner.progress import Silent
from tests.support.experiments import table
from tests.support.models import fork_join
from tests.support.pictures import Pictures


def test_schedulers_are_compared_on_networks_and_random_graphs(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pictures: Pictures
) -> None:
    monkeypatch.setitem(scheduler_comparison.LARGEST, "ios", 10)
    network = str(results / "tiny.onnx")
    profiled = tmp_path / "profiles"
    (profiled / "tiny").mkdir(parents=True)
    (profiled / "tiny/profile.jsonl").write_bytes((results / "out/tiny/profile.jsonl").read_bytes())
    (profiled / "platform.toml").write_bytes((results / "desk.toml").read_bytes())
    instances = [
        *networks([network], profiled, seed=0),
        *random_graphs(parse_sizes("6,12"), 2, seed=5),
    ]
    said: list[str] = []
    stages = Silent()
    monkeypatch.setattr(stages, "say", said.append)
    rows = scheduler_comparison.compare(instances, tmp_path / "out", limits=Limits(max_evaluations=20), stages=stages)
    lines = table(tmp_path / "out/scheduler_comparison.csv")
    assert list(lines[0])[:6] == ["problem", "num_ops", "scheduler", "simulated_s", "bound_s", "planning_s"]
    assert all(0 < float(line["bound_s"]) <= float(line["simulated_s"]) for line in lines)
    names = {"single:cpu", "single:npu", *algorithm_names()} - set(REFEREES)
    by_problem = {
        name: {line["scheduler"] for line in lines if line["problem"] == name}
        for name in ("tiny", "layered-6/5", "layered-6/6", "layered-12/5", "layered-12/6")
    }
    assert by_problem["tiny"] == by_problem["layered-6/6"] == names
    assert by_problem["layered-12/5"] == by_problem["layered-12/6"] == names - {"ios"}
    assert said == [f"layered-12/{i}: ios left out, beyond 10 operators it takes too long" for i in (5, 6)]
    assert {line["costs"] for line in lines if line["problem"] == "tiny"} == {"profile"}
    assert {line["num_ops"] for line in lines if line["problem"] == "layered-12/5"} == {"12"}
    assert all(float(line["simulated_s"]) > 0 and float(line["planning_s"]) > 0 for line in lines)
    makespans, times = pictures.axes(tmp_path / "out/scheduler_comparison.png")
    assert makespans.x_label == "Makespan relative to the best plan, simulated"
    assert (times.x_label, times.y_label) == ("Operators", "Planning time (s)")
    assert makespans.num_points == times.num_points == len(lines)
    sidecar = json.loads((tmp_path / "out/scheduler_comparison.json").read_text())
    assert sidecar["model_hashes"]["tiny"] == load_model(network).hash
    again = scheduler_comparison.compare(instances, tmp_path / "out", limits=Limits(max_evaluations=20))
    assert again == rows  # nothing anew
    (synthetic,) = networks([network], None, seed=0)
    assert synthetic.make()[1] == "synthetic"


def test_chosen_schedulers_are_compared_with_the_referee(tmp_path: Path) -> None:
    names = parse_schedulers("heft,search,cp_sat")
    limits = Limits(time_limit_s=5.0, referee_s=5.0, num_workers=1)
    instances = list(random_graphs((6,), 2, seed=0))
    rows = scheduler_comparison.compare(instances, tmp_path, schedulers=names, limits=limits)
    assert [row.scheduler for row in rows] == [*names, *names]
    for _, search, referee in (rows[:3], rows[3:]):  # so few operators are planned to the optimum, proven by both
        assert search.bound_s == pytest.approx(search.simulated_s, rel=1e-9)
        assert referee.simulated_s == pytest.approx(search.simulated_s, rel=1e-6)
    with pytest.raises(PlanError, match=r"--schedulers: no scheduler 'best'; choose from type_based, .*, cp_sat"):
        parse_schedulers("heft,best")


def test_what_schedulers_did_is_summed_up() -> None:
    # 2 and 4 ms are 3 on average; the second is proven; the first may be a quarter too slow
    first = SchedulerLine(
        problem="layered-6/0",
        num_ops=6,
        scheduler="search",
        simulated_s=0.002,
        bound_s=0.0015,
        planning_s=0.5,
        num_segments=6,
        num_devices=2,
        costs="random",
    )
    second = replace(first, problem="layered-6/1", simulated_s=0.004, bound_s=0.004, planning_s=0.25)
    assert scheduler_comparison.summary([first, second, replace(second, costs="profile")]) == [
        "6 operators, search: 2 plans of 3.000 ms on average, 1 proven optimal, gap at most 25.0%, "
        "planned in at most 0.50 s",
        "networks, search: 1 plans of 4.000 ms on average, 1 proven optimal, gap at most 0.0%, "
        "planned in at most 0.25 s",
    ]


def test_synthetic_costs_are_a_roofline() -> None:
    problem = synthetic_problem(fork_join(num_features=1024))
    graph = problem.graph
    for op in graph.ops:
        num_bytes = op.weight_bytes + sum(graph.tensors[t].num_bytes for t in (*op.inputs, *op.outputs))
        seconds = max(op.num_macs / 160e9, num_bytes / 24e9) if op.kind == "MatMul" else num_bytes / 4e9
        assert problem.cost_s("npu", (op.name,)) == pytest.approx(20e-6 + seconds)
    whole = tuple(op.name for op in graph.ops)
    assert problem.cost_s("cpu", whole) == pytest.approx(
        sum(problem.cost_s("cpu", (op,)) for op in whole) - 5e-6 * (len(whole) - 1)
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--models", "squeezenest"], "no model 'squeezenest'"),
        *((["--sizes", sizes], f"--sizes '{sizes}' must be numbers of operators from 1") for sizes in ("", "0", "2,x")),
    ],
)
def test_a_comparison_of_nothing_known_is_one_line_and_exit_code_2(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.setattr(sys, "argv", ["x", *arguments, "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as left:
        scheduler_comparison.main()
    said = capsys.readouterr().err
    assert left.value.code == 2
    assert message in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()
