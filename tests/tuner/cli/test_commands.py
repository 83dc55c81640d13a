"""The command line as people meet it: help, the way from profile to run, and one line for every mistake."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from hetsim.io.platform_file import format_platform
from tests.support.models import fake_platform, fork_join
from tests.support.planning.task_graphs import DOT, STG, WORKFLOW
from tests.support.programs.commands import hetsim_in_process as hetsim


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, a platform, a profile and a plan, all made by commands."""
    folder = tmp_path_factory.mktemp("cli")
    onnx.save(fork_join().proto, folder / "net.onnx")
    (folder / "fake.toml").write_text(format_platform(fake_platform()))
    (folder / "one.toml").write_text(format_platform(fake_platform("cpu")))
    few = ("--repeats", "3", "--explorations", "1")
    made = hetsim("profile", "net.onnx", "--platform", "fake.toml", "--out", "p.jsonl", *few, cwd=folder)
    assert made.returncode == 0, made.stderr
    assert "cpu: segments of several operators, each predicted from the others: " in made.stdout
    made = hetsim(
        "plan", "net.onnx", "--platform", "fake.toml", "--profile", "p.jsonl", "--out", "plan.json", cwd=folder
    )
    assert made.returncode == 0, made.stderr
    return folder


FAKE = ("--platform", "fake.toml")
OPS = ["stem", "left", "right", "right2", "join"]


def test_a_plan_is_simulated_and_run(place: Path) -> None:
    simulated = hetsim(
        "simulate",
        "net.onnx",
        "--platform",
        "fake.toml",
        "--profile",
        "p.jsonl",
        "--plan",
        "plan.json",
        "--json",
        cwd=place,
    )
    assert simulated.returncode == 0, simulated.stderr
    timeline = json.loads(simulated.stdout)
    assert timeline["makespan_s"] == max(span["end_s"] for span in timeline["spans"])
    assert sorted(op for s in timeline["spans"] if s["kind"] == "compute" for op in s["ops"]) == sorted(
        op.name for op in fork_join().graph.ops
    )
    np.savez(place / "in.npz", x=np.ones((4, 8), np.float32))
    ran = hetsim(
        *("run", "net.onnx", "--platform", "fake.toml", "--plan", "plan.json", "--requests", "3"),
        *("--inputs", "in.npz", "--outputs", "out.npz", "--trace", "t.json", "--picture", "t.png"),
        cwd=place,
    )
    assert ran.returncode == 0, ran.stderr
    assert "ms median of 3" in ran.stdout
    assert np.load(place / "out.npz")["y"].shape == (4, 8)
    assert json.loads((place / "t.json").read_text())["traceEvents"]
    assert (place / "t.png").stat().st_size > 1000


def test_loads_are_simulated_and_run(place: Path) -> None:
    description = ("net.onnx", *FAKE, "--plan", "plan.json", "--requests", "6", "--every", "2ms", "--in-flight", "3")
    for args in (("simulate", *description, "--profile", "p.jsonl"), ("run", *description)):
        done = hetsim(*args, cwd=place)
        assert done.returncode == 0, done.stderr
        assert "6 requests, one every 2 ms, at most 3 in flight" in done.stdout
        assert "p99" in done.stdout
    done = hetsim("simulate", *description, "--profile", "p.jsonl", "--noise", "--json", cwd=place)
    timeline = json.loads(done.stdout)
    assert len(timeline["latencies_s"]) == 6
    assert {span["request"] for span in timeline["spans"]} == set(range(6))
    assert timeline["throughput_per_s"] > 0


def test_a_profile_from_elsewhere_is_used_only_by_force_and_said_to_be(place: Path) -> None:
    header, *records = (place / "p.jsonl").read_text().splitlines(keepends=True)
    changed = json.loads(header) | {"machine": "a toaster"}
    (place / "toaster.jsonl").write_text("".join([json.dumps(changed) + "\n", *records]))
    description = ("net.onnx", *FAKE, "--profile", "toaster.jsonl")
    refused = hetsim("plan", *description, "--out", "o.json", cwd=place)
    assert refused.returncode == 2
    assert "machine 'a toaster', here it is '" in refused.stderr
    assert not (place / "o.json").exists()
    forced = hetsim("plan", *description, "--out", "forced.json", "--force", cwd=place)
    assert forced.returncode == 0, forced.stderr
    assert "WARNING: profile toaster.jsonl was taken elsewhere: machine 'a toaster'" in forced.stdout
    simulated = hetsim("simulate", *description, "--plan", "forced.json", "--force", "--json", cwd=place)
    assert "a toaster" in json.loads(simulated.stdout)["warnings"][0]
    compared = hetsim("compare", *description, "--plan", "forced.json", "--force", "--picture", "c.png", cwd=place)
    assert "WARNING: profile toaster.jsonl was taken elsewhere" in compared.stdout, compared.stderr


PROBLEM = {
    "devices": ["cpu", "npu"],
    "ops": {"a": {"cpu": 1.0}, "b": {"cpu": 3.0, "npu": 1.0}, "c": {"cpu": 1.0}, "d": {"cpu": 0.5}},
    "edges": [["a", "b", 1000], ["a", "c", 10], ["b", "d", 1000], ["c", "d", 10]],
    "links": {
        "cpu->npu": {"setup_s": 0.25, "bandwidth_bytes_per_s": 2000},
        "npu->cpu": {"setup_s": 0.5, "bandwidth_bytes_per_s": 4000},
    },
}


def test_a_problem_file_is_planned_and_simulated(place: Path) -> None:
    (place / "problem.json").write_text(json.dumps(PROBLEM))
    # b on the npu: 1 + (.25 + .5) + 1 + (.5 + .25) + .5 = 4; all on the cpu 5.5.
    made = hetsim("plan", "--problem", "problem.json", "--scheduler", "heft", "--out", "heft.json", cwd=place)
    assert made.returncode == 0, made.stderr
    simulated = hetsim("simulate", "--problem", "problem.json", "--plan", "heft.json", "--json", cwd=place)
    assert simulated.returncode == 0, simulated.stderr
    timeline = json.loads(simulated.stdout)
    assert timeline.keys() == {"makespan_s", "spans"}
    assert timeline["makespan_s"] == 4.0
    assert timeline["spans"][0] == {"device": "cpu", "ops": ["a"], "kind": "compute", "start_s": 0.0, "end_s": 1.0}
    on_npu = [span for span in timeline["spans"] if span["device"] == "npu"]
    assert on_npu == [
        {"device": "npu", "ops": ["b"], "kind": "hand-over", "start_s": 1.0, "end_s": 1.75},
        {"device": "npu", "ops": ["b"], "kind": "compute", "start_s": 1.75, "end_s": 2.75},
    ]


def test_a_plan_is_explained(place: Path) -> None:
    explained = hetsim(
        "explain", "net.onnx", *FAKE, "--profile", "p.jsonl", "--plan", "plan.json",
        "--picture", "why.png", "--chart", "what.png", "--replan", "1", cwd=place,
    )  # fmt: skip
    assert explained.returncode == 0, explained.stderr
    assert "ms simulated; the critical path has" in explained.stdout
    assert "10 % faster" in explained.stdout
    assert "the best plan known as things are takes" in explained.stdout
    assert (place / "why.png").stat().st_size > 10_000
    assert (place / "what.png").stat().st_size > 10_000


def test_a_problem_file_s_plan_is_explained_as_json(place: Path) -> None:
    # a on the cpu, 1 s, then b on the npu, 2 s, with 0.5 s between them; twice as fast is 100 % faster.
    (place / "chain.json").write_text(
        '{"devices": ["cpu", "npu"], "ops": {"a": {"cpu": 1.0}, "b": {"npu": 2.0}}, "edges": [["a", "b", 0]], '
        '"links": {"cpu->npu": {"setup_s": 0.5}}}'
    )
    _write_plan(place / "chain.plan.json", {"cpu": ["a"], "npu": ["b"]})
    explained = hetsim(
        "explain", "--problem", "chain.json", "--plan", "chain.plan.json", "--faster", "100", "--json", cwd=place
    )
    assert explained.returncode == 0, explained.stderr
    found = json.loads(explained.stdout)
    assert [(span["kind"], span["start_s"], span["end_s"]) for span in found["critical_path"]] == [
        ("compute", 0.0, 1.0), ("hand-over", 1.0, 1.5), ("compute", 1.5, 3.5)
    ]  # fmt: skip
    assert (found["makespan_s"], found["replanned_makespan_s"]) == (3.5, 3.5)
    saved = {(c["kind"], c.get("op") or c["device"]): c["saved_s"] for c in found["changes"]}
    assert saved == {
        ("device", "npu"): 1.0, ("operator", "b"): 1.0, ("device", "cpu"): 0.5, ("operator", "a"): 0.5,
        ("link", "npu"): 0.25,
    }  # fmt: skip
    assert found["changes"][0]["replanned_saved_s"] == 1.0


def test_what_if_is_planned_simulated_and_executed_and_said_to_be_hypothetical(place: Path) -> None:
    model = ("net.onnx", *FAKE)
    profiled = (*model, "--profile", "p.jsonl")
    _write_plan(place / "second.json", {"npu1": [" ".join(OPS)]})
    answer = hetsim("simulate", *profiled, "--plan", "second.json", "--set", "npu.count=2", cwd=place)
    assert "npu1 (hypothetical): 5 of 5 operators" in answer.stdout, answer.stderr
    two = ("--set", "npu.count=2", "--set", "npu.speed=1e-3")
    planned = hetsim("plan", *profiled, "--scheduler", "exact", *two, "--out", "two.json", cwd=place)
    assert planned.returncode == 0, planned.stderr
    assert "WARNING: hypothetical, what follows from: npu.count=2, npu.speed=1e-3" in planned.stdout
    answer = hetsim("simulate", *profiled, "--plan", "two.json", *two, "--json", cwd=place)
    assert json.loads(answer.stdout)["warnings"] == ["hypothetical, what follows from: npu.count=2, npu.speed=1e-3"]
    (place / "npu.json").write_text(
        json.dumps({"format": 1, "model": "fork join", "devices": {"npu": [{"ops": OPS}]}}), encoding="utf-8"
    )
    # The make-believe device takes no time; hand-overs and launches aside, neither does one that is faster.
    slower = ("--plan", "npu.json", "--set", "npu.launch_s=0.03")
    simulated = hetsim("simulate", *profiled, *slower, "--json", cwd=place)
    assert json.loads(simulated.stdout)["makespan_s"] > 0.03
    executed = hetsim("run", *profiled, *slower, "--requests", "3", "--outputs", "out.npz", cwd=place)
    assert executed.returncode == 0, executed.stderr
    assert "npu (emulated)" in executed.stdout
    assert float(re.search(r"([\d.]+) ms median", executed.stdout)[1]) >= 30
    compared = hetsim("compare", *profiled, *slower, "--requests", "3", cwd=place)
    assert compared.returncode == 0, compared.stderr
    assert "hypothetical, what follows from: npu.launch_s=0.03" in compared.stdout


def test_a_workflow_becomes_a_problem_file(place: Path) -> None:
    (place / "flow.json").write_text(json.dumps(WORKFLOW))
    made = hetsim(
        *("convert", "flow.json", "--devices", "cpu,npu", "--speed", "npu=2", "--bandwidth", "1000", "--setup", "0.5"),
        *("--out", "flow.problem.json"),
        cwd=place,
    )
    assert made.returncode == 0, made.stderr
    assert "word count: 5 tasks, 5 edges" in made.stdout
    planned = hetsim("plan", "--problem", "flow.problem.json", "--scheduler", "heft", "--out", "f.json", cwd=place)
    assert planned.returncode == 0, planned.stderr
    # All of it on the npu takes 13.5 / 2 s. Half of the counting on the cpu would save 2 s and cost more in copies.
    assert "6750.00 ms simulated" in planned.stdout


def test_other_task_graphs_become_problem_files(place: Path) -> None:
    (place / "four.stg").write_bytes(STG[1])
    (place / "four.gv").write_bytes(DOT[0])
    for name in ("four.stg", "four.gv"):
        made = hetsim("convert", name, "--speed", "npu=2", "--unit", "0.001", "--out", "four.json", cwd=place)
        assert made.returncode == 0, made.stderr
        assert "4 tasks, 4 edges" in made.stdout
        assert "in 0.006 s" in made.stdout
        planned = hetsim("plan", "--problem", "four.json", "--scheduler", "exact", "--out", "f.json", cwd=place)
        assert planned.returncode == 0, planned.stderr
        # All of it on the npu takes 10.5 / 2 ms; b or c on the cpu would come back two units later.
        assert "5.25 ms simulated" in planned.stdout


def test_zoo_and_platform_list_what_there_is(place: Path) -> None:
    assert "inception_v2" in hetsim("zoo", cwd=place).stdout.split()
    listed = hetsim("platform", cwd=place)
    assert listed.returncode == 0
    assert "engine onnxruntime: " in listed.stdout
    assert "npu (stand-in)" in listed.stdout


def _symbolic(path: Path) -> None:
    shape = ["batch", 4]
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


MISTAKES = {
    "unknown model": (("tune", "inception_v9", "--out", "o"), r"inception_v9.*inception_v1"),
    "missing file": (("tune", "nowhere.onnx", "--out", "o"), r"nowhere\.onnx"),
    "not ONNX": (("tune", "garbage.onnx", "--out", "o"), r"garbage\.onnx"),
    "open dimension": (("tune", "symbolic.onnx", "--out", "o", *FAKE), r"batch.*--shape x="),
    "shape that is none": (("tune", "symbolic.onnx", "--shape", "x:1", "--out", "o"), r"NAME=1,3,224,224"),
    "unsupported operator": (("tune", "unknown.onnx", "--out", "o", *FAKE), r"knows operator 'odd' \(Frob\)"),
    "unknown platform": (("tune", "net.onnx", "--platform", "tpu", "--out", "o"), r"no platform 'tpu'.*cpu\+npu"),
    "malformed platform": (("tune", "net.onnx", "--platform", "garbage.onnx", "--out", "o"), r"platform garbage\.onnx"),
    "engine not there": (("tune", "net.onnx", "--platform", "warp.toml", "--out", "o"), r"asks for backend 'warp'"),
    "neither model nor problem": (("plan", "--out", "o.json"), r"give either a MODEL with its --profile, or --problem"),
    "model without a profile": (("plan", "net.onnx", "--out", "o.json"), r"net\.onnx needs --profile FILE"),
    "problem with a profile": (
        ("plan", "--problem", "bad.json", "--profile", "p.jsonl", "--out", "o.json"),
        r"--profile belongs to a MODEL",
    ),
    "problem with a circle": (
        ("plan", "--problem", "bad.json", "--out", "o.json"),
        r"problem bad\.json: the edges lead in a circle: 'a' -> 'b' -> 'a'",
    ),
    "plan of another problem": (
        ("simulate", "--problem", "good.json", "--plan", "deadlock.json"),
        r"plan uses device 'npu', but the platform has cpu",
    ),
    "workflow that is none": (("convert", "good.json", "--out", "o.json"), r"workflow good\.json: .*schemaVersion"),
    "task graph cut short": (
        ("convert", "cut.stg", "--out", "o.json"),
        r"task graph cut\.stg: line 3: 2 numbers; expected a task's number",
    ),
    "format that is none": (("convert", "good.json", "--format", "xml", "--out", "o.json"), r"no format 'xml'"),
    "nothing faster": (
        ("explain", "--problem", "good.json", "--plan", "deadlock.json", "--faster", "0"),
        r"--faster 0 makes nothing faster",
    ),
    "plan of another problem, explained": (
        ("explain", "--problem", "good.json", "--plan", "deadlock.json"),
        r"plan uses device 'npu', but the platform has cpu",
    ),
    "speed of no device": (
        ("convert", "good.json", "--speed", "tpu=2", "--out", "o.json"),
        r"--speed 'tpu=2' names device 'tpu'; --devices are cpu, npu",
    ),
    "scheduler to execute as well": (
        ("tune", "net.onnx", *FAKE, "--also", "magic", "--out", "o"),
        r"no scheduler 'magic'; choose from type_based, .*genetic",
    ),
    "missing profile": (
        ("plan", "net.onnx", *FAKE, "--profile", "no.jsonl", "--out", "o.json"),
        r"no\.jsonl.*hetsim profile",
    ),
    "malformed profile": (
        ("plan", "net.onnx", *FAKE, "--profile", "fake.toml", "--out", "o.json"),
        r"fake\.toml, line 1",
    ),
    "profile of another model": (
        ("plan", "squeezenet", *FAKE, "--profile", "p.jsonl", "--out", "o.json"),
        r"p\.jsonl was taken of another model",
    ),
    "unknown scheduler": (
        ("plan", "net.onnx", *FAKE, "--profile", "p.jsonl", "--scheduler", "magic", "--out", "o.json"),
        r"no scheduler 'magic'.*partition_tuner",
    ),
    "missing plan": (("run", "net.onnx", *FAKE, "--plan", "no.json"), r"cannot read plan no\.json.*hetsim plan"),
    "malformed plan": (("run", "net.onnx", *FAKE, "--plan", "fake.toml"), r"plan fake\.toml is malformed"),
    "plan for another model": (("run", "squeezenet", *FAKE, "--plan", "plan.json"), r"made for model"),
    "plan for other devices": (
        ("run", "net.onnx", "--platform", "one.toml", "--plan", "npu.json"),
        r"uses device 'npu'",
    ),
    "plan that deadlocks": (("run", "net.onnx", *FAKE, "--plan", "deadlock.json"), r"can never finish: .* waits for"),
    "schedule that is none": (
        ("run", "net.onnx", *FAKE, "--plan", "plan.json", "--every", "soon"),
        r"--every 'soon' is not a time above 0; write it as 33ms",
    ),
    "speed of zero": (
        ("plan", "net.onnx", *FAKE, "--profile", "p.jsonl", "--set", "npu.speed=0", "--out", "o.json"),
        r"--set 'npu\.speed=0': the value must be more than 0 and finite, got 0",
    ),
    "change of no device": (
        ("simulate", "--problem", "good.json", "--plan", "plan.json", "--set", "tpu.speed=2"),
        r"--set 'tpu\.speed=2': no device 'tpu' on platform 'problem file'; it has cpu",
    ),
    "change without a profile": (
        ("run", "net.onnx", *FAKE, "--plan", "plan.json", "--set", "npu.speed=2"),
        r"emulated devices need --profile FILE",
    ),
    "memory to execute on": (
        ("tune", "net.onnx", *FAKE, "--set", "memory.bandwidth=1e9", "--out", "o"),
        r"can be planned for and simulated, but not executed",
    ),
    "folder that is a file": (("tune", "net.onnx", *FAKE, "--out", "net.onnx"), r"net\.onnx"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_every_mistake_is_one_line_and_exit_code_2(place: Path, name: str) -> None:
    (place / "garbage.onnx").write_bytes(b"\x00\x01 this is no model")
    (place / "warp.toml").write_text(format_platform(fake_platform()).replace('backend = "fake"', 'backend = "warp"'))
    _symbolic(place / "symbolic.onnx")
    _unknown(place / "unknown.onnx")
    _write_plan(place / "npu.json", {"npu": ["stem left right right2 join"]})
    _write_plan(place / "deadlock.json", {"cpu": ["right2", "stem", "left", "join"], "npu": ["right"]})
    costs = {"a": {"cpu": 1.0}, "b": {"cpu": 1.0}}
    edges = [["a", "b", 1], ["b", "a", 1]]
    (place / "cut.stg").write_text("2\n1 5 0\n2 5\n")
    (place / "good.json").write_text(json.dumps({"devices": ["cpu"], "ops": costs, "edges": edges[:1]}))
    (place / "bad.json").write_text(json.dumps({"devices": ["cpu"], "ops": costs, "edges": edges}))
    before = set(place.iterdir())
    args, message = MISTAKES[name]
    failed = hetsim(*args, cwd=place)
    assert failed.returncode == 2, failed.stdout + failed.stderr
    assert "Traceback" not in failed.stderr
    assert len(failed.stderr.strip().splitlines()) == 1, failed.stderr
    assert failed.stderr.startswith("hetsim: ")
    import re

    assert re.search(message, failed.stderr), failed.stderr
    left = {path.name for path in set(place.iterdir()) - before}
    assert left <= {"o"}  # a tune that got as far as its folder may have created it and measured
    assert not (place / "o.json").exists()


def _write_plan(path: Path, queues: dict[str, list[str]]) -> None:
    devices = {device: [{"ops": segment.split()} for segment in queue] for device, queue in queues.items()}
    path.write_text(json.dumps({"format": 1, "model": "net", "devices": devices}))


def _unknown(path: Path) -> None:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [4]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Frob", ["x"], ["y"], "odd")], "g", [x], [y])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
