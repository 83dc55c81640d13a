"""The experiments at tiny size, on make-believe devices: columns, sidecar, pictures, resuming, bad input."""

from __future__ import annotations

import csv
import json
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
from rich.console import Console

from experiments import evaluation_speed, runtime_overhead, scheduler_comparison, simulated_vs_measured, speedup
from experiments.contention import contend
from experiments.npu_speed import command as npu_speed
from experiments.npu_speed.command import log_speeds, vary
from experiments.npu_speed.study import Variations
from experiments.scheduler_comparison import Limits, networks, parse_schedulers, parse_sizes, random_graphs
from experiments.several_requests import serve_all
from experiments.shared.plan_errors import PlanLine, summarize_errors
from experiments.shared.profiles import calibrated
from experiments.shared.records import model_names
from experiments.shared.scheduler_rows import SchedulerLine
from experiments.shared.synthetic_costs import synthetic_problem
from experiments.simulated_vs_measured import compare, draw_plans, predict_s
from hetsim.core.errors import HetsimError, ModelError, PlanError, PlatformError, ProfileError
from hetsim.core.load import Load
from hetsim.core.plan import Plan, whole_plan
from hetsim.core.platform import Platform
from hetsim.core.split import Split
from hetsim.costs.profile import Header, Profile, Samples
from hetsim.io.platform_file import load_platform
from hetsim.models.onnx_import import Model, load_model
from hetsim.models.split import rewrite
from hetsim.runtime import RefusedError
from hetsim.runtime.measure.profiler import Effort
from hetsim.scheduler.registry import REFEREES, algorithm_names
from hetsim.tuner.progress import OnScreen, Silent
from hetsim.tuner.steps.final_measurement import Pace
from hetsim.tuner.tune import Options
from tests.models.test_split import stack
from tests.support.models import fake_platform, fork_join
from tests.support.problems import inception_like

PLATFORM = """
name = "desk"
[device.cpu]
kind = "cpu"
backend = "fake"
nature = "emulated"
options = { op_s = "0.001" }
[device.npu]
kind = "npu"
backend = "fake"
nature = "emulated"
options = { op_s = "0.001" }
[memory]
shared_bytes_per_s = 1e9
[calibration]
date = "2025-01-01T00:00:00+00:00"
machine = "make-believe"
num_samples = 1
"""
OPTIONS = Options(
    rounds=1,
    max_evaluations=60,
    effort=Effort(repeats=3, warm_ups=1, stall_budget_s=0.0),
    pace=Pace(num_runs=3, stall_budget_s=0.0),
    command=("smoke", "run"),
)
NUM_RANDOM = 3
SWEEP = Variations(device="npu", speeds=(0.5, 1.0, 2.0), counts=(1, 2), bandwidths=(0.5, 1.0), map_speeds=(1.0, 2.0))


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, a platform, and both experiments' results on them."""
    folder = tmp_path_factory.mktemp("results")
    onnx.save(fork_join().proto, folder / "tiny.onnx")
    (folder / "desk.toml").write_text(PLATFORM)
    compare([str(folder / "tiny.onnx")], platform_in(folder), folder / "out", options=OPTIONS, num_random=NUM_RANDOM)
    vary([str(folder / "tiny.onnx")], platform_in(folder), folder / "out", SWEEP, options=OPTIONS)
    return folder


@pytest.fixture(scope="module")
def speedups(results: Path) -> Path:
    """The folder in which the speed-up experiment was called twice."""
    for _ in range(2):
        speedup.measure([str(results / "tiny.onnx")], platform_in(results), results / "speedup", options=OPTIONS)
    return results / "speedup"


def test_every_contender_is_measured_once(speedups: Path) -> None:
    lines = table(speedups / "speedup.csv")
    assert list(lines[0])[:5] == ["model", "platform", "contender", "measured_s", "measured_iqr_s"]
    singles = ["single:cpu", "single:npu"]
    ours = ["ours_without_splits", "ours"]
    assert [line["contender"] for line in lines] == [*singles, "type_based", "individual", "partition_tuner", *ours]
    took = {line["contender"]: float(line["measured_s"]) for line in lines}
    (gain,) = table(speedups / "gains.csv")
    assert float(gain["ideal_s"]) == pytest.approx(1 / (1 / took["single:cpu"] + 1 / took["single:npu"]))
    assert float(gain["efficiency_percent"]) == pytest.approx(100 * float(gain["ideal_s"]) / took["ours"])
    assert (gain["published_over_type_based_percent"], gain["splits_percent"]) == ("", "0.0")
    assert is_picture(speedups / "speedup.png")
    assert (speedups / "tiny/report.html").exists()


def test_gains_by_hand() -> None:
    seconds = {"single:cpu": 6.0, "single:npu": 3.0, "type_based": 5.0, "individual": 4.0, "partition_tuner": 4.0}
    seconds |= {"ours_without_splits": 3.0, "ours": 2.5, "reference:engine_2_threads": 2.0}
    lines = [
        speedup.SpeedupLine(
            model="squeezenet",
            platform="desk",
            contender=contender,
            measured_s=each_s,
            measured_iqr_s=0.1,
            measured_low_s=each_s - 0.1,
            measured_high_s=each_s + 0.1,
            num_segments=1,
            num_devices=1,
            devices="cpu, npu (stand-in)",
        )
        for contender, each_s in seconds.items()
    ]
    (gain,) = speedup.gains(lines)
    assert gain.over_best_single_percent == pytest.approx(20.0)
    assert gain.over_partition_tuner_percent == pytest.approx(60.0)
    assert gain.over_best_reference_percent == pytest.approx(-20.0)
    assert gain.splits_percent == pytest.approx(20.0)
    assert gain.ideal_s == pytest.approx(2.0)
    assert gain.efficiency_percent == pytest.approx(80.0)
    assert gain.partition_tuner_over_type_based_percent == pytest.approx(25.0)
    assert gain.partition_tuner_over_individual_percent == pytest.approx(0.0)
    assert (gain.published_over_type_based_percent, gain.published_over_individual_percent) == (5.03, 2.73)
    description = speedup.in_description([gain])
    assert "ours 2500.00 ms; +20.0 % over the best single device" in description[0]
    assert description[0].endswith("co-execution efficiency 80.0 %")
    assert description[1] == "over the best single device: 1.200 times as fast, geometric mean of 1"


def platform_in(folder: Path) -> Platform:
    return load_platform(folder / "desk.toml")


def table(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def is_picture(path: Path) -> bool:
    return path.read_bytes().startswith(b"\x89PNG")


def test_every_schedulers_plan_and_random_ones_are_simulated_and_measured(results: Path) -> None:
    lines = table(results / "out/plans.csv")
    wanted = "model platform plan_id scheduler num_segments predicted_s simulated_s measured_s measured_iqr_s"
    assert list(lines[0])[:9] == wanted.split()
    schedulers = {line["scheduler"] for line in lines}
    made = {"single:cpu", "single:npu", "type_based", "individual", "partition_tuner", "search"}
    assert schedulers == {*made, "random"}
    drawn = {line["plan_id"] for line in lines if line["scheduler"] == "random"}
    assert len(drawn) == NUM_RANDOM
    assert not drawn & {line["plan_id"] for line in lines if line["scheduler"] != "random"}
    for line in lines:
        assert (line["model"], line["platform"]) == ("tiny", "desk")
        # Each device sleeps 1 ms for each of 5 operators, two of which may run side by side.
        assert all(float(line[name]) > 3e-3 for name in ("predicted_s", "simulated_s", "measured_s"))
        assert float(line["measured_low_s"]) <= float(line["measured_s"]) <= float(line["measured_high_s"])
    (errors,) = table(results / "out/errors.csv")
    assert int(errors["num_plans"]) == len({line["plan_id"] for line in lines})
    assert float(errors["simulated_worst_percent"]) >= float(errors["simulated_mean_percent"]) >= 0
    assert -1 <= float(errors["tau_low"]) <= float(errors["tau_high"]) <= 1
    assert all(-1 <= float(errors[name]) <= 1 for name in ("kendall_tau", "predicted_kendall_tau"))
    assert is_picture(results / "out/scatter.png")


def test_the_sidecar_says_where_the_rows_come_from(results: Path) -> None:
    sidecar = json.loads((results / "out/plans.json").read_text())
    assert sidecar["command"] == "smoke run"
    assert sidecar["settings"]["seed"] == 0
    assert sidecar["settings"]["random"] == NUM_RANDOM
    assert sidecar["model_hashes"] == {"tiny": load_model(results / "tiny.onnx").hash}
    assert {"hetsim", "onnx", "onnxruntime", "openvino"} <= sidecar["versions"].keys()
    assert {"machine", "date", "commit"} <= sidecar.keys()


def test_what_is_there_is_not_measured_again(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a device was woken")

    monkeypatch.setattr("experiments.shared.profiles.Runtime", refuse)
    before = (results / "out/plans.csv").read_bytes()
    (results / "out/scatter.png").unlink()
    models, platform = [str(results / "tiny.onnx")], platform_in(results)
    lines = compare(models, platform, results / "out", options=OPTIONS, num_random=NUM_RANDOM)
    assert len(lines) == len(table(results / "out/plans.csv"))
    assert (results / "out/plans.csv").read_bytes() == before
    assert is_picture(results / "out/scatter.png")
    # The speeds are simulated from the profile that the other experiment left.
    speeds = Variations(device="npu", speeds=(1.0, 4.0))
    folder = results / "again"
    (folder / "tiny").mkdir(parents=True)
    (folder / "tiny/profile.jsonl").write_bytes((results / "out/tiny/profile.jsonl").read_bytes())
    assert vary([str(results / "tiny.onnx")], platform_in(results), folder, speeds, options=OPTIONS)


def test_an_interrupted_profile_is_gone_on_with(results: Path) -> None:
    folder = results / "interrupted"
    (folder / "tiny").mkdir(parents=True)
    whole = (results / "out/tiny/profile.jsonl").read_bytes()
    (folder / "tiny/profile.jsonl").write_bytes(b"".join(whole.splitlines(keepends=True)[:4]))
    vary([str(results / "tiny.onnx")], platform_in(results), folder, SWEEP, options=OPTIONS)
    assert len((folder / "tiny/profile.jsonl").read_bytes().splitlines()) > 4


def test_a_faster_npu_never_makes_the_best_plan_slower_nor_the_kept_one_better(results: Path) -> None:
    lines = table(results / "out/npu_speed.csv")
    wanted = "model platform speed scheduler simulated_s num_segments measured_s"
    assert list(lines[0])[:7] == wanted.split()
    assert {line["measured_s"] for line in lines} == {""}
    by_curve = {
        curve: [float(line["simulated_s"]) for line in lines if line["curve"] == curve]
        for curve in dict.fromkeys(line["curve"] for line in lines)
    }
    wanted_curves = {"planned anew", "best of several devices", "best at 1x, kept", "cpu alone", "npu alone", "limit"}
    assert by_curve.keys() == wanted_curves
    assert all(len(times_s) == len(SWEEP.speeds) for times_s in by_curve.values())
    best_s, limit_s = by_curve["planned anew"], by_curve.pop("limit")
    assert best_s == sorted(best_s, reverse=True)
    assert all(best <= min(others) for best, *others in zip(best_s, *by_curve.values(), strict=True))
    assert all(limit <= best for limit, best in zip(limit_s, best_s, strict=True))
    assert best_s[1] == by_curve["best at 1x, kept"][1]
    assert {line["device"] for line in lines} == {"npu (hypothetical)"}
    assert is_picture(results / "out/npu_speed.png")
    assert json.loads((results / "out/npu_speed.json").read_text())["settings"]["speeds"] == [0.5, 1.0, 2.0]


def test_more_npus_and_a_better_memory_never_make_the_best_plan_slower(results: Path) -> None:
    for name, column, values in (
        ("npu_count", "num_npus", ["1", "2"]),
        ("memory_bandwidth", "relative_bandwidth", ["0.5", "1.0"]),
    ):
        lines = [line for line in table(results / f"out/{name}.csv") if line["curve"] == "planned anew"]
        assert [line[column] for line in lines] == values
        times_s = [float(line["simulated_s"]) for line in lines]
        assert times_s == sorted(times_s, reverse=True)
        assert is_picture(results / f"out/{name}.png")
    cells = table(results / "out/speed_bandwidth.csv")
    assert len(cells) == len(SWEEP.bandwidths) * len(SWEEP.map_speeds)
    assert all(float(cell["gain_percent"]) >= 0 for cell in cells)
    assert all(float(cell["bandwidth_bytes_per_s"]) == 1e9 * float(cell["relative_bandwidth"]) for cell in cells)
    assert is_picture(results / "out/speed_bandwidth.png")
    rounds = table(results / "out/turning_points.csv")
    assert rounds[-1]["what"] == "no longer helps"
    assert {round["what"] for round in rounds[:-1]} <= {"best plan changes"}


def test_plans_are_executed_beside_an_emulated_device(results: Path) -> None:
    folder = results / "executed"
    (folder / "tiny").mkdir(parents=True)
    (folder / "tiny/profile.jsonl").write_bytes((results / "out/tiny/profile.jsonl").read_bytes())
    varied = Variations(device="npu", speeds=(0.25, 1.0, 2.0), execute=True)
    lines = vary([str(results / "tiny.onnx")], platform_in(results), folder, varied, options=OPTIONS)
    executed = [line for line in lines if line.measured_s is not None]
    assert {line.speed for line in executed} == {1.0, 2.0}  # 0.25 is below what is executed
    assert {line.curve for line in lines if line.speed == 1.0 and line.measured_s is None} == {"limit"}
    for line in executed:
        assert line.largest_error < 1e-5
        assert line.measured_low_s <= line.measured_s <= line.measured_high_s
        # An emulated device is never early: five operators of 1 ms each, so many times as fast.
        if line.curve == "npu alone":
            assert line.measured_s > line.simulated_s - 1e-9
            assert line.simulated_s == line.predicted_s
    errors = table(folder / "emulated_errors.csv")
    assert {line["plans"] for line in errors} <= {"all", "on both"}
    assert all(float(line["worst_percent"]) >= float(line["mean_percent"]) >= 0 for line in errors)
    assert is_picture(folder / "npu_speed_executed.png")
    profile = (folder / "tiny/executed/speed-1.jsonl").read_text()
    assert '"npu":"emulated f32' in profile


def test_several_models_share_a_picture_and_have_their_own(results: Path) -> None:
    onnx.save(fork_join(num_features=4).proto, results / "small.onnx")
    models = [str(results / "tiny.onnx"), str(results / "small.onnx")]
    vary(models, platform_in(results), results / "out", SWEEP, options=OPTIONS)
    assert {line["model"] for line in table(results / "out/npu_speed.csv")} == {"tiny", "small"}
    assert is_picture(results / "out/npu_speed.png")
    assert is_picture(results / "out/small/npu_speed.png")


@pytest.mark.equation("held-out")
def test_a_prediction_knows_nothing_measured_on_the_plan() -> None:
    header = Header(model="m", model_hash="", machine="here", engines={"cpu": "e"}, date="2025-01-01")
    profile = Profile(header=header)
    for context, seconds in (("configuration:operators", 2.0), ("replay:0", 8.0), ("final:0", 9.0), ("final:1", 4.0)):
        profile.add(Samples(device="cpu", ops=("stem",), context=context, samples_s=(seconds,)))
    profile.add(Samples(device="cpu", ops=("stem", "left"), context="final:0", samples_s=(8.0,)))
    kept = profile.without("0")
    assert list(kept.contexts("cpu", ("stem",))) == ["configuration:operators", "final:1"]
    assert kept.measured("cpu") == (("stem",),)
    assert profile.num_segments == 2


def test_a_plan_with_splits_is_predicted_by_what_its_parts_are_of() -> None:
    # Two convolutions of a second each, the first in two parts of four rows each out of eight: 2 s, joining them aside.
    model, platform = stack(3, 3), fake_platform("cpu")
    split = Split(("conv0",), "rows", (4,))
    plan = replace(whole_plan(rewrite(model, (split,)).model.graph, "cpu"), rewrites=(split,))
    header = Header(model="m", model_hash="", machine="here", engines={"cpu": "e"}, date="2025-01-01")
    profile = Profile(header=header)
    for op in model.graph.ops:
        profile.add(Samples(device="cpu", ops=(op.name,), context="configuration:operators", samples_s=(1.0,)))
    expected_s = predict_s(model, platform, profile, plan)
    assert 1.0 < expected_s < 3.0
    own = Samples(device="cpu", ops=plan.segments[0].ops, context=f"final:{plan.digest}", samples_s=(100.0,))
    profile.add(own)
    assert predict_s(model, platform, profile, plan) == expected_s


def test_a_plan_counts_once_whoever_made_it() -> None:
    def line(plan_id: str, scheduler: str, simulated_s: float, predicted_s: float) -> PlanLine:
        return PlanLine(
            model="m", platform="p", plan_id=plan_id, scheduler=scheduler, num_segments=1, predicted_s=predicted_s,
            simulated_s=simulated_s, measured_s=1.0, measured_iqr_s=0.1, measured_low_s=0.9, measured_high_s=1.1,
            num_samples=5,
        )  # fmt: skip

    (errors,) = summarize_errors([line("0", "x", 0.9, 1.5), line("0", "y", 0.9, 1.5), line("1", "y", 1.2, 1.1)])
    assert errors.num_plans == 2
    assert errors.simulated_mean_percent == pytest.approx(15)
    assert errors.simulated_worst_percent == pytest.approx(20)
    assert errors.simulated_bias_percent == pytest.approx(5)
    assert errors.predicted_bias_percent == pytest.approx(30)
    # Both were measured alike, so there is no order to get right.
    assert (errors.kendall_tau, errors.tau_low, errors.predicted_kendall_tau) == (None, None, None)
    assert errors.spread_over_iqr == 0.0


@pytest.mark.equation("tau")
def test_ranks_are_those_of_distinct_plans() -> None:
    def line(plan_id: int, simulated_s: float, predicted_s: float) -> PlanLine:
        return PlanLine(
            model="m", platform="p", plan_id=str(plan_id), scheduler="x", num_segments=1, predicted_s=predicted_s,
            simulated_s=simulated_s, measured_s=1.0 + plan_id, measured_iqr_s=0.1, measured_low_s=0.9,
            measured_high_s=1.1, num_samples=5,
        )  # fmt: skip

    times_s = [(1.0, 4.0), (3.0, 3.0), (2.0, 2.0), (4.0, 1.0)]
    lines = [line(i, *both_s) for i, both_s in enumerate(times_s)]
    (errors,) = summarize_errors([*lines, *lines])
    # One of six pairs is in the wrong order: (5 - 1) / 6. The predictions have them all wrong.
    assert errors.kendall_tau == 4 / 6
    assert errors.predicted_kendall_tau == -1.0
    assert -1 <= errors.tau_low < 4 / 6 <= errors.tau_high == 1.0
    assert errors.spread_over_iqr == pytest.approx(30)  # from 1 to 4 s, beside 0.1


def test_requests_are_served_and_simulated(results: Path) -> None:
    folder = results / "served"
    serve_all(
        [str(results / "tiny.onnx")],
        platform_in(results),
        folder,
        schedulers=("single:npu", "partition_tuner"),
        load=Load(num_requests=6, num_slots=3),
        num_rounds=2,
        effort=OPTIONS.effort,
        seed=0,
        command="smoke run",
        stages=Silent(),
    )
    lines = table(folder / "several_requests.csv")
    assert len(lines) == 2 * 2 * 3  # schedulers, loads, figures
    for line in lines:
        assert float(line["measured_low"]) <= float(line["measured"]) <= float(line["measured_high"])
        # Devices that only sleep: the model is off by what sleeping oversleeps, not by a factor.
        assert 0.5 < float(line["simulated"]) / float(line["measured"]) < 2
        assert int(line["num_requests"]) == 12
    assert is_picture(folder / "several_requests.png")


def test_pairs_of_operators_run_side_by_side(results: Path) -> None:
    folder = results / "pairs"
    models, platform = [str(results / "tiny.onnx")], platform_in(results)
    contend(models, platform, folder, num_ops=1, num_runs=3, effort=OPTIONS.effort, command="smoke", stages=Silent())
    lines = table(folder / "contention.csv")
    assert [(line["pair"], line["device"], line["op"]) for line in lines] == [
        ("right + right", "cpu", "right"),
        ("right + right", "npu", "right"),
    ]
    for line in lines:
        assert int(line["touched_bytes"]) == 256 + 2 * 128
        # Make-believe devices share no memory, and the platform does not say that they do.
        assert float(line["simulated_s"]) == float(line["without_s"]) == float(line["alone_s"])
    assert is_picture(folder / "contention.png")


class Picky:
    """A runtime that refuses the plans of some digests."""

    def __init__(self, refused: set[str]) -> None:
        self._refused = refused

    def load(self, _model: Model, plan: Plan) -> Picky:
        if plan.digest in self._refused:
            raise RefusedError("too odd", device="npu", segment=("stem",))
        return self

    def close(self) -> None:
        pass


def test_a_random_plan_that_is_refused_is_said_and_replaced(capsys: pytest.CaptureFixture) -> None:
    model, problem = fork_join(), inception_like(2)
    drawn = draw_plans(Picky(set()), model, problem, {}, 3, seed=0, stages=Silent())
    assert list(drawn) == ["random:1", "random:2", "random:3"]
    first, second, third = drawn.values()
    stages = OnScreen(Console(width=200))
    kept = draw_plans(Picky({first.digest}), model, problem, {"a": second}, 2, seed=0, stages=stages)
    assert list(kept) == ["random:3", "random:4"]
    assert kept["random:3"] == third
    assert capsys.readouterr().out == "fork_join, random:1: dropped, too odd\n"
    assert draw_plans(Picky(set()), model, problem, {}, 0, seed=0, stages=Silent()) == {}


def test_results_under_other_settings_are_not_mixed(results: Path) -> None:
    models, platform = [str(results / "tiny.onnx")], platform_in(results)
    with pytest.raises(HetsimError, match=r"plans.csv holds results for seed 0, this run asks for 1; choose another"):
        compare(models, platform, results / "out", options=replace(OPTIONS, seed=1), num_random=NUM_RANDOM)
    with pytest.raises(HetsimError, match=r"holds results for random 3, this run asks for 0; choose another"):
        compare(models, platform, results / "out", options=OPTIONS, num_random=0)
    with pytest.raises(
        HetsimError, match=r"holds results for speeds \[0.5, 1.0, 2.0\], this run asks for \[1.0, 2.0\]"
    ):
        vary(models, platform, results / "out", Variations(device="npu", speeds=(1.0, 2.0)), options=OPTIONS)


def test_a_malformed_csv_is_refused(results: Path, tmp_path: Path) -> None:
    for name in ("plans.csv", "plans.json"):
        (tmp_path / name).write_bytes((results / "out" / name).read_bytes())
    path, models = tmp_path / "plans.csv", [str(results / "tiny.onnx")]
    path.write_text(path.read_text().replace(",desk,", ",desk,,", 1))
    with pytest.raises(HetsimError, match=r"plans.csv, line 2 is malformed"):
        compare(models, platform_in(results), tmp_path, options=OPTIONS, num_random=NUM_RANDOM)
    path.write_text("a,b\n1,2\n")
    with pytest.raises(HetsimError, match=r"plans.csv has columns a, b; this version writes model, platform"):
        compare(models, platform_in(results), tmp_path, options=OPTIONS, num_random=NUM_RANDOM)
    (tmp_path / "plans.json").unlink()
    with pytest.raises(HetsimError, match=r"lies there without plans.json"):
        compare(models, platform_in(results), tmp_path, options=OPTIONS, num_random=NUM_RANDOM)


def test_a_profile_of_another_model_is_refused(results: Path, tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    onnx.save(fork_join(num_features=3).proto, tmp_path / "tiny.onnx")
    (tmp_path / "tiny/profile.jsonl").write_bytes((results / "out/tiny/profile.jsonl").read_bytes())
    with pytest.raises(ProfileError, match="was taken with another model hash"):
        vary([str(tmp_path / "tiny.onnx")], platform_in(results), tmp_path, SWEEP, options=OPTIONS)


def test_speeds_are_equal_ratios_apart() -> None:
    speeds = log_speeds(0.25, 8.0, 11)
    assert len(speeds) == 11
    assert {0.25, 0.5, 1.0, 2.0, 4.0, 8.0} <= set(speeds)
    for slowest, fastest in ((0.0, 1.0), (2.0, 1.0), (float("nan"), 1.0), (-1.0, 1.0)):
        with pytest.raises(PlatformError, match="make no sweep"):
            log_speeds(slowest, fastest, 3)


@pytest.mark.parametrize("experiment", [simulated_vs_measured, npu_speed])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--models", "squeezenest"], "no model 'squeezenest': no such file, and the zoo has bvlc_alexnet"),
        (["--models", " ,"], "--models ' ,' names no model; name some of bvlc_alexnet"),
        (["--models", "resnet18,resnet18"], "--models holds 'resnet18' twice"),
        (["--models", "resnet18", "--platform", "desktop"], "no platform 'desktop'"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    experiment: object, arguments: list[str], message: str, *, tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.setattr(sys, "argv", ["x", *arguments, "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as left:
        experiment.main()
    said = capsys.readouterr().err
    assert left.value.code == 2
    assert said.startswith("python -m experiments.")
    assert message in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_device_that_is_not_there_is_named(results: Path, tmp_path: Path) -> None:
    with pytest.raises(PlatformError, match=r"no device 'tpu' on platform 'desk'; it has cpu, npu"):
        vary([str(results / "tiny.onnx")], platform_in(results), tmp_path, Variations(device="tpu", speeds=(1.0,)))


def test_a_folder_is_calibrated_once_and_for_one_platform(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = platform_in(results)
    raw = replace(measured, calibration=None)
    calls: list[Platform] = []

    def calibrate(runtime: Platform, **_: object) -> Platform:
        calls.append(runtime)
        return measured.with_devices(replace(measured.device("npu"), launch_s=1e-5))

    monkeypatch.setattr("experiments.shared.profiles.Runtime", nullcontext)
    monkeypatch.setattr("experiments.shared.profiles.calibrate", calibrate)
    assert calibrated(measured, tmp_path, stages=Silent()) is measured
    first = calibrated(raw, tmp_path, stages=Silent())
    assert calibrated(raw, tmp_path, stages=Silent()) == first
    assert first.device("npu").launch_s == 1e-5
    assert calls == [raw]
    other = raw.with_devices(replace(raw.device("npu"), threads=2))
    with pytest.raises(PlatformError, match=r"platform.toml was calibrated for another platform \('desk'\)"):
        calibrated(other, tmp_path, stages=Silent())


def test_a_file_counts_by_its_name(tmp_path: Path) -> None:
    onnx.save(fork_join().proto, tmp_path / "resnet18.onnx")
    assert model_names(f" resnet50, {tmp_path / 'resnet18.onnx'},") == ("resnet50", str(tmp_path / "resnet18.onnx"))
    with pytest.raises(ModelError, match="holds 'resnet18' twice"):
        model_names(f"resnet18,{tmp_path / 'resnet18.onnx'}")


def test_schedulers_are_compared_on_networks_and_random_graphs(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
    assert is_picture(tmp_path / "out/scheduler_comparison.png")
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


@pytest.mark.engines
def test_a_plan_of_one_segment_is_compared_with_the_engine_itself(tmp_path: Path) -> None:
    onnx.save(fork_join().proto, tmp_path / "tiny.onnx")
    model = load_model(tmp_path / "tiny.onnx")
    lines = runtime_overhead.compare(model, load_platform(), 3, Silent())
    assert [(line.device, line.engine) for line in lines] == [("cpu", "onnxruntime"), ("npu", "openvino")]
    for line in lines:
        assert line.direct_s > 0
        assert line.runtime_s > 0
        assert 0 < line.ratio_low <= line.ratio <= line.ratio_high
        assert line.num_rounds == 3


def test_only_engines_that_are_called_directly_are_compared(results: Path) -> None:
    model = load_model(results / "tiny.onnx")
    with pytest.raises(PlatformError, match="'cpu' cannot be compared: only onnxruntime, openvino in f32"):
        runtime_overhead.compare(model, platform_in(results), 3, Silent())


def test_evaluation_speed_writes_a_line_for_each_evaluator_and_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation_speed, "NUM_PLANS", 4)
    monkeypatch.setattr(evaluation_speed, "SIMPY_S", 1e-3)
    evaluation_speed.evaluation_speed(out=tmp_path, sizes="3,6", rounds=1, seed=0)
    lines = table(tmp_path / "evaluation_speed.csv")
    assert list(lines[0])[:3] == ["evaluator", "num_ops", "plans_per_s"]
    assert [(line["evaluator"], line["num_ops"]) for line in lines] == [
        (evaluator, size) for size in ("3", "6") for evaluator in ("simpy", "compiled")
    ]
    assert all(float(line["plans_per_s"]) > 0 for line in lines)
    assert json.loads((tmp_path / "evaluation_speed.json").read_text())["settings"]["sizes"] == "3,6"
    assert is_picture(tmp_path / "evaluation_speed.png")


@pytest.mark.parametrize("sizes", ["", "3,few", "0"])
def test_sizes_that_are_none_are_refused(sizes: str, tmp_path: Path) -> None:
    with pytest.raises(HetsimError, match="is not a list of whole numbers above 0, such as 20,50,100"):
        evaluation_speed.evaluation_speed(out=tmp_path, sizes=sizes)
