"""Hypothetical devices: contradictions in platform files, files of times, planning with and without a profile."""

from __future__ import annotations

import math
from pathlib import Path

import onnx
import pytest

from hetsim.core.errors import HetsimError, PlatformError, ProblemError, ProfileError
from hetsim.core.platform import Device, Platform
from hetsim.core.sources import Sheet, Times
from hetsim.costs.hypothetical.times_file import FileCosts, read_times
from hetsim.costs.problems import make_problem, plan_problem
from hetsim.costs.profile import Header, Profile, Samples
from hetsim.costs.touched import touched_bytes
from hetsim.io.platform_file import format_platform, load_platform, parse_platform
from hetsim.models.model import Model
from hetsim.runtime.backends import make_backend
from hetsim.scheduler.registry import make_plan
from hetsim.sim.check import check_timeline
from hetsim.sim.simulate import simulate
from hetsim.tuner.cli.app import main
from tests.support.models import chain, fork_join

SHEET = "[device.npu.sheet]\npeak_ops_per_s = { f32 = 1e9 }\nmemory_bytes_per_s = 1e9\n"
PAIR = """name = "pair"
[device.cpu]
kind = "cpu"
backend = "fake"
[device.npu]
kind = "npu"
"""


def parsed(extra: str) -> Platform:
    return parse_platform(PAIR + extra, source="pair.toml")


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (
            "",
            r"device\.npu: Object missing required field `backend`; only a device with a sheet, architecture or times",
        ),
        ("[device.npu.sheet]\nmemory_bytes_per_s = 1e9", r"device\.npu\.sheet: .*required field `peak_ops_per_s`"),
        (
            "[device.npu.sheet]\npeak_ops_per_s = {}\nmemory_bytes_per_s = 1e9",
            r"has no f32, .* it has nothing",
        ),
        ('precision = "i8"\n' + SHEET, r"device\.npu\.sheet\.peak_ops_per_s has no i8, .* it has f32; add"),
        (SHEET.replace("f32 = 1e9", "f32 = 0.0"), r"device\.npu\.sheet\.peak_ops_per_s\.f32 must be a finite .* got 0"),
        (SHEET.replace("f32 = 1e9", "f32 = nan"), r"device\.npu\.sheet\.peak_ops_per_s\.f32 must be .* got nan"),
        (SHEET.replace("f32 = 1e9", "f8 = 1e9"), r"device\.npu\.sheet: Invalid enum value 'f8' .*peak_ops_per_s"),
        (SHEET.replace("_s = 1e9", "_s = -1.0"), r"device\.npu\.sheet\.memory_bytes_per_s must be .* got -1"),
        (SHEET + "on_chip_bytes = -1", r"device\.npu\.sheet\.on_chip_bytes must be 0 or more, got -1"),
        (SHEET + "efficiency = 1.5", r"device\.npu\.sheet\.efficiency must be above 0 and at most 1, got 1.5"),
        (
            SHEET + "efficiency_by_class = { strided = 0.0 }",
            r"sheet\.efficiency_by_class\.strided must be above 0 and .* 0",
        ),
        (SHEET + "efficiency_by_class = { fast = 1.0 }", r"device\.npu\.sheet: Invalid enum value 'fast'"),
        (SHEET + "elements_per_s = 0.0", r"device\.npu\.sheet\.elements_per_s must be above 0, got 0"),
        (SHEET + "input_lanes = 0", r"device\.npu\.sheet\.input_lanes must be at least 1, got 0"),
        (SHEET + "output_lanes = 'x'", r"device\.npu\.sheet\.output_lanes: Expected `int`, got `str`"),
        (SHEET + "lanes = 16", r"device\.npu\.sheet has unknown field 'lanes'; it may have peak_ops_per_s"),
        (
            'supported_ops = ["Conv"]\n' + SHEET + 'folded_ops = ["Relu"]',
            r"sheet\.folded_ops has Relu, which is not am",
        ),
        ('backend = "openvino"\n' + SHEET, r"device\.npu\.backend is 'openvino', but .* come from its sheet; leave"),
        ('nature = "real"\n' + SHEET, r"device\.npu\.nature is 'real', but .* is not measured; it can be 'hypo"),
        (
            SHEET + '[device.npu.times]\nfile = "a.csv"',
            r"device\.npu has sheet and times, but only one of them can give",
        ),
        ("[device.npu.times]", r"device\.npu\.times: .*required field `file`"),
        (
            '[device.npu.architecture]\nhardware = "a"\nmapping = "a"\nclock_hz = 1e9',
            r'architecture is computed for i8 alone, but the device\'s precision is f32; set precision = "i8"',
        ),
        (
            'precision = "i8"\n[device.npu.architecture]\nhardware = "a"\nmapping = "a"\nclock_hz = inf',
            r"device\.npu\.architecture\.clock_hz must be a finite number above 0, got inf",
        ),
    ],
)
def test_contradictions_are_named(extra: str, message: str) -> None:
    with pytest.raises(PlatformError, match=message) as caught:
        parsed(extra)
    assert "\n" not in str(caught.value)


def test_sources_survive_a_round_trip_and_files_lie_beside_the_platform(tmp_path: Path) -> None:
    text = PAIR + 'count = 2\n[device.npu.times]\nfile = "vendor.csv"'
    (tmp_path / "board.toml").write_text(text)
    platform = load_platform(tmp_path / "board.toml")
    first, second = (platform.device(name) for name in ("npu0", "npu1"))
    assert first.times == second.times == Times(file=str(tmp_path / "vendor.csv"), device="npu")
    assert (first.nature, first.backend, first.is_measured) == ("hypothetical", "none", False)
    assert parse_platform(format_platform(platform), source="again") == platform
    assert [device.name for device in platform.hypothetical_devices] == ["npu0", "npu1"]
    assert platform.measured_part().device_names == ("cpu",)


def test_nothing_can_be_measured_or_executed_on_a_hypothetical_device() -> None:
    with pytest.raises(PlatformError, match="'npu' is hypothetical, so nothing can be executed or measured on it"):
        make_backend(parsed(SHEET).device("npu"))
    with pytest.raises(PlatformError, match="no device of platform 'phone' can be measured: cpu, npu are hypothetical"):
        load_platform("phone").measured_part()


# Files of times


def write(folder: Path, text: str, name: str = "times.csv") -> Path:
    (folder / name).write_text(text)
    return folder / name


def from_file(path: Path, model: Model, **settings: object) -> FileCosts:
    times = Times(file=str(path), device="npu")
    return FileCosts(
        Device(name="npu0", kind="npu", backend="none", times=times, nature="hypothetical", **settings),
        times,
        model.graph,
    )


@pytest.mark.equation("times")
def test_units_groups_and_devices_of_a_file(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "ops,device,latency_ms,comment\nop0,npu,4,\nop1,,2,any device\nop2;op1,npu,5,\nop2,cpu,90,\nop2,npu,3.5,\n",
    )
    found = from_file(path, chain(4), launch_s=0.001)
    latency = found.latency(("op0",))
    assert latency is not None
    assert (latency.seconds, latency.stated) == (0.004, True)
    group = found.latency(("op1", "op2"))  # as measured together, whatever the order in the file
    assert group is not None
    assert group.seconds == pytest.approx(0.005)
    covered = found.latency(("op0", "op1", "op2"))  # the group and op0, less one launch
    assert covered is not None
    assert covered.seconds == pytest.approx(0.004 + 0.005 - 0.001)
    assert not covered.is_known
    assert found.latency(("op3",)) is None
    assert found.traffic_bytes(("op0", "op1")) == touched_bytes(chain(4).graph, ("op0", "op1"))
    eighth = from_file(path, chain(4), precision="i8")
    assert eighth.traffic_bytes(("op0", "op1")) == touched_bytes(chain(4).graph, ("op0", "op1")) // 4
    stated = write(tmp_path, "op,ms,traffic_bytes\nop0,1,100\nop1,1,50\nop2,1,\n", "traffic.csv")
    assert from_file(stated, chain(4)).traffic_bytes(("op0", "op1")) == 150
    part = ("op1", "op2")  # the file does not say what op2 moves
    assert from_file(stated, chain(4)).traffic_bytes(part) == touched_bytes(chain(4).graph, part)
    entries = '[{"ops": ["op0", "op1"], "us": 80}, {"op": "op2", "us": 7.5, "device": "npu"}]'
    rows = read_times(write(tmp_path, entries, "t.json"))
    assert [(row.ops, row.device, row.seconds) for row in rows] == [
        (("op0", "op1"), "", pytest.approx(80e-6)),
        (("op2",), "npu", pytest.approx(7.5e-6)),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "op,ms\nop0,1\nop9,2\n",
            r"times.csv, row 3 names operator 'op9', which 'chain' does not have; it has op0, op1",
        ),
        ("op,ms\nop0,-1\n", r"times.csv, row 2: ms must be 0 or more, got -1"),
        ("op,ms,traffic_bytes\nop0,1,1.5\n", r"row 2: traffic_bytes must be a whole number, got '1.5'"),
        ("op,ms,traffic_bytes\nop0,1,-1\n", r"row 2: traffic_bytes must be 0 or more, got -1"),
        ("op,ms\nop0,nan\n", r"row 2: ms must be 0 or more, got nan"),
        ("op,ms\nop0,inf\n", r"row 2: ms must be 0 or more, got inf"),
        ("op,ms\nop0,fast\n", r"row 2: ms must be a number, got 'fast'"),
        ("op,ms\nop0,1\nop0,2\n", r"row 3 has the operators of row 2 again, for the same device; remove one"),
        ("ops,ms\nop0;op1,1\nop1;op0,2\n", r"row 3 has the operators of row 2 again"),
        ("ops,ms\nop0;op0,1\n", r"row 2 names an operator twice: op0, op0"),
        ("ops,ms\n;,1\n", r"row 2 names no operator"),
        ("op,time\nop0,1\n", r"row 2 must have one column of times, whose name gives the unit .* it has none"),
        ("op,ms,us\nop0,1,1000\n", r"row 2 must have one column of times, .* it has ms, us"),
        ("name,ms\nop0,1\n", r"row 2 must have either 'op' or 'ops'; it has name, ms"),
        ("op,ms\nop0\n", r"row 2 has a different number of cells than the header"),
        ("op,ms,ms\nop0,1,2\n", r"row 1 has column 'ms' twice"),
        ("op,device,ms\nop0,gpu,1\n", r"times.csv has no time for device 'npu'; add its rows"),
        ("op,ms\n", r"times.csv has no time for device 'npu'"),
    ],
)
def test_every_mistake_in_a_file_is_one_line_with_the_row(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match=message) as caught:
        from_file(write(tmp_path, text), chain(3))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"op": "op0", "ms": 1', r"t.json, malformed: Expecting"),
        ('{"op": "op0"}', r"t.json, .*Expected `array`, got `object`"),
        ('[{"op": "op0", "ms": true}]', r"t.json, entry 1: ms must be a number, got True"),
        ('[{"op": 3, "ms": 1}]', r"t.json, entry 1: op must be names of operators, got 3"),
        ('[{"op": "op0", "ms": 1, "ms": 2}]', r"t.json, key 'ms' is there twice"),
    ],
)
def test_mistakes_in_json_name_the_entry(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match=message):
        read_times(write(tmp_path, text, "t.json"))
    with pytest.raises(ProfileError, match=r"cannot read times .*nowhere.csv: No such file"):
        read_times(tmp_path / "nowhere.csv")


# Problems


def mixed(memory: str = "") -> Platform:
    """A measured CPU and an NPU by its sheet: of fork_join, 4 x 8 numbers each, everything takes 1 s and its bytes."""
    sheet = "launch_s = 1.0\n[device.npu.sheet]\npeak_ops_per_s = { f32 = 1e9 }\nmemory_bytes_per_s = 1024.0\n"
    return parsed(sheet + memory)


def measured(model: Model, op_s: float) -> Profile:
    header = Header(model=model.name, model_hash=model.hash, machine="m", engines={"cpu": "e"}, date="d")
    profile = Profile(header=header)
    for op in model.graph.ops:
        profile.add(Samples(device="cpu", ops=(op.name,), context="configuration:operators", samples_s=(op_s,)))
    return profile


def test_a_hypothetical_device_goes_beside_measured_ones() -> None:
    model = fork_join()
    problem = make_problem(model, mixed("[memory]\nshared_bytes_per_s = 1e6\n"), measured(model, 2.0))
    on_cpu, on_npu = (problem.latency(name, ("stem",)) for name in ("cpu", "npu"))
    assert on_cpu is not None
    assert (on_cpu.seconds, on_cpu.measured, on_cpu.stated) == (2.0, True, False)
    assert on_npu is not None
    # stem reads and writes 32 numbers: 256 bytes at 1024 bytes a second
    assert (on_npu.seconds, on_npu.measured, on_npu.stated) == (1.0 + 0.25, False, True)
    assert problem.traffic_bytes("npu", ("stem",)) == 256
    plan = make_plan("search", problem, max_evaluations=50)
    check_timeline(problem.graph, problem.platform, plan, simulate(problem, plan))
    assert plan_problem(model, mixed(), measured(model, 2.0), plan).cost_s("npu", ("stem",)) == 1.25
    with pytest.raises(ProfileError, match=r"platform 'pair' needs a profile of 'fork_join' for cpu; measure it with"):
        make_problem(model, mixed())


def test_an_operator_that_no_device_runs_is_named() -> None:
    sheet = Sheet(peak_ops_per_s={"f32": 1e9}, memory_bytes_per_s=1e9)
    device = Device(name="npu", kind="npu", backend="none", nature="hypothetical", supported_ops=("Abs",), sheet=sheet)
    with pytest.raises(ProblemError, match=r"no device can run operator 'left' \(Neg\); the platform has npu"):
        make_problem(fork_join(), Platform(name="tiny", devices=(device,)))


def test_devices_that_are_alike_cost_alike() -> None:
    problem = make_problem(fork_join(), load_platform("paper-board-4"))
    ops = tuple(op.name for op in problem.graph.ops)
    assert problem.platform.device_names == ("cpu", "npu0", "npu1", "npu2", "npu3")
    assert problem.devices_for(ops) == ("cpu",)  # VTA takes convolutions alone
    assert math.isfinite(problem.cost_s("cpu", ops))


# Commands


def run(arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> tuple[int, str, str]:
    monkeypatch.setattr("sys.argv", ["hetsim", *arguments])
    with pytest.raises(SystemExit) as left:
        main()
    said = capsys.readouterr()
    return int(left.value.code or 0), said.out, said.err


@pytest.mark.slow
def test_commands_need_no_profile_where_every_device_is_hypothetical(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    onnx.save(fork_join().proto, "tiny.onnx")
    both = PAIR.replace('backend = "fake"\n', SHEET.replace("npu", "cpu")) + "launch_s = 1e-4\n" + SHEET
    Path("board.toml").write_text(both)
    Path("mixed.toml").write_text(PAIR + SHEET)
    here = ["tiny.onnx", "--platform", "board.toml"]
    code, said, _ = run(["plan", *here, "--scheduler", "exact", "--out", "p.json"], monkeypatch, capsys)
    assert (code, "cpu (hypothetical): 5 of 5 operators" in said) == (0, True)
    code, said, _ = run(["simulate", *here, "--plan", "p.json"], monkeypatch, capsys)
    assert (code, "ms simulated, 1 segments" in said) == (0, True)
    code, said, _ = run(["run", *here, "--plan", "p.json", "--requests", "3"], monkeypatch, capsys)
    assert (code, "ms median of 3" in said, "cpu (emulated): 5 of 5 operators" in said) == (0, True, True)
    for arguments, message in (
        (["run", "tiny.onnx", "--platform", "mixed.toml", "--plan", "p.json"], "emulated devices need --profile FILE"),
        (["profile", *here, "--out", "t.jsonl"], "no device of platform 'pair' can be measured: cpu, npu are"),
        (["tune", *here, "--out", "out"], "no device of platform 'pair' can be measured: cpu, npu are"),
        (
            ["plan", "tiny.onnx", "--platform", "mixed.toml", "--out", "q.json"],
            "needs --profile FILE; measure it with: hetsim profile tiny.onnx --platform mixed.toml --out FILE",
        ),
    ):
        code, _, wrong = run(arguments, monkeypatch, capsys)
        assert (code, wrong.count("\n")) == (2, 1)
        assert message in wrong
    assert not any(Path(name).exists() for name in ("t.jsonl", "q.json"))


def test_a_profile_of_the_measured_devices_serves_a_mixed_platform(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    onnx.save(fork_join().proto, "tiny.onnx")
    Path("mixed.toml").write_text(PAIR + SHEET)
    here = ["tiny.onnx", "--platform", "mixed.toml"]
    code, said, _ = run(["profile", *here, "--repeats", "3", "--out", "t.jsonl"], monkeypatch, capsys)
    assert code == 0
    assert "npu" not in said
    code, said, _ = run(["plan", *here, "--profile", "t.jsonl", "--out", "p.json"], monkeypatch, capsys)
    assert (code, "npu (hypothetical)" in said) == (0, True)


def test_a_platform_after_a_trace_says_what_is_extrapolated() -> None:
    platform = load_platform("phone-htp")
    source = platform.device("npu").source
    assert source is not None
    assert "trace of ResNet-50, extrapolated to other operators" in source.description
    assert "partly extrapolated" in platform.description


def test_built_in_hypothetical_platforms_say_so() -> None:
    for name in ("paper-board", "paper-board-4", "phone", "laptop", "edge-tpu-like"):
        platform = load_platform(name)
        assert platform.description.startswith("Hypothetical")
        assert all(device.label.endswith("(hypothetical)") for device in platform.devices)
        assert len(platform.hypothetical_devices) == len(platform.devices)
    assert issubclass(PlatformError, HetsimError)
