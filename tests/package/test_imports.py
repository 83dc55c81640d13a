"""What is imported when: task graphs need no ONNX and no engine, and planning needs nothing that only Linux has."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import onnx
import pytest

from hetsim.costs.profile import Samples
from hetsim.costs.profile_file import ProfileFile
from hetsim.io.platform_file import format_platform
from tests.support.models import fake_platform, fork_join
from tests.support.planning.table_problem import PROBLEM
from tests.support.profiles import HEADER

HEAVY = ("matplotlib", "numba", "onnx", "onnxruntime", "openvino")

LOADED = f"""
import sys
loaded = sorted(name for name in {HEAVY!r} if name in sys.modules)
assert not loaded, loaded
"""

FROM_PYTHON = """
from pathlib import Path
import hetsim
problem = hetsim.load_problem("problem.json")
plan = hetsim.scheduler.make_plan("heft", problem)
hetsim.save_plan(plan, Path("plan.json"))
assert hetsim.simulate(problem, plan).makespan_s == 3.0
"""

COMMAND = """
import sys
from hetsim.tuner.cli.app import main
sys.argv[1:] = {args!r}
try:
    main()
except SystemExit as leaving:
    assert not leaving.code, leaving.code
"""

PLAN = ["plan", "--problem", "problem.json", "--scheduler", "heft", "--out", "plan.json"]
SIMULATE = ["simulate", "--problem", "problem.json", "--plan", "plan.json", "--json", "--trace", "t.json"]
EXPLAIN = ["explain", "--problem", "problem.json", "--plan", "plan.json", "--replan", "1", "--scheduler", "heft"]

NOT_LINUX = """
import os, sys
for name in ("memfd_create", "eventfd", "eventfd_read", "eventfd_write", "sched_getaffinity", "sched_setaffinity"):
    if hasattr(os, name):
        delattr(os, name)
sys.modules["fcntl"] = None  # importing it fails
"""


def run_python(words: str, cwd: Path) -> str:
    done = subprocess.run([sys.executable, "-c", words], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "problem.json").write_text(json.dumps(PROBLEM))
    return tmp_path


def test_a_task_graph_is_planned_without_onnx_engines_and_pictures(folder: Path) -> None:
    run_python(FROM_PYTHON + LOADED, folder)


def test_commands_on_a_task_graph_import_no_onnx_engines_and_pictures(folder: Path) -> None:
    for args in (PLAN, SIMULATE, EXPLAIN):
        run_python(COMMAND.format(args=args) + LOADED, folder)


def test_a_worker_starts_without_what_its_engine_does_not_need(folder: Path) -> None:
    others = "assert 'networkx' not in sys.modules\n"
    run_python("import hetsim.runtime.worker.worker\n" + LOADED + others, folder)


@pytest.mark.parametrize("args", [["--help"], ["tune", "--help"], ["run", "--help"], ["platform", "--help"]])
def test_help_imports_neither_numbers_nor_graphs(folder: Path, args: list[str]) -> None:
    told = run_python(
        COMMAND.format(args=args) + "assert not {'numpy', 'networkx', 'msgspec'} & set(sys.modules)\n" + LOADED, folder
    )
    assert "Usage: " in told


def test_task_graphs_are_planned_drawn_and_explained_on_other_systems(folder: Path) -> None:
    run_python(NOT_LINUX + FROM_PYTHON, folder)
    for args in (PLAN, [*SIMULATE, "--picture", "t.png"], [*EXPLAIN, "--picture", "e.png", "--chart", "c.png"]):
        run_python(NOT_LINUX + COMMAND.format(args=args), folder)
    assert all((folder / name).stat().st_size > 1000 for name in ("t.png", "e.png", "c.png"))


def test_models_are_planned_for_hypothetical_devices_on_other_systems(folder: Path) -> None:
    onnx.save(fork_join().proto, folder / "net.onnx")
    words = ["net.onnx", "--platform", "laptop"]
    run_python(NOT_LINUX + COMMAND.format(args=["plan", *words, "--scheduler", "heft", "--out", "plan.json"]), folder)
    run_python(NOT_LINUX + COMMAND.format(args=["simulate", *words, "--plan", "plan.json"]), folder)


def test_models_are_planned_simulated_and_explored_from_a_stored_profile_on_other_systems(folder: Path) -> None:
    model = fork_join()
    onnx.save(model.proto, folder / "net.onnx")
    (folder / "fake.toml").write_text(format_platform(fake_platform()))
    # One millisecond for each operator on the CPU, half of it on the NPU; taken on a machine that is not this one.
    engines = {"cpu": "fake engine, any core", "npu": "fake engine, any core"}
    header = msgspec.structs.replace(HEADER, model=model.graph.name, model_hash=model.hash, engines=engines)
    with ProfileFile(folder / "p.jsonl", header) as file:
        for device, op_s in (("cpu", 1e-3), ("npu", 0.5e-3)):
            ops = tuple(op.name for op in model.graph.ops)
            for name, parts in (("operators", [(op,) for op in ops]), ("whole", [ops])):
                for part in parts:
                    times_s = (op_s * len(part),)
                    file.add(Samples(device=device, ops=part, context=f"configuration:{name}", samples_s=times_s))
    profiled = ["net.onnx", "--platform", "fake.toml", "--profile", "p.jsonl", "--force"]
    planned = [*profiled, "--plan", "plan.json"]
    simulate = NOT_LINUX + COMMAND.format(args=["simulate", *planned, "--json"])
    run_python(
        NOT_LINUX + COMMAND.format(args=["plan", *profiled, "--scheduler", "single:npu", "--out", "plan.json"]), folder
    )
    assert json.loads(run_python(simulate, folder))["makespan_s"] == pytest.approx(2.5e-3, rel=0.1)  # on the NPU
    explored = COMMAND.format(args=["explain", *planned, "--set", "npu.speed=2", "--replan", "1"])
    assert "ms simulated; the critical path has" in run_python(NOT_LINUX + explored, folder)


def test_executing_elsewhere_is_refused_in_one_line(folder: Path) -> None:
    told = run_python(
        NOT_LINUX
        + """
import hetsim
try:
    hetsim.runtime.Runtime(hetsim.load_platform("cpu+npu"))
except hetsim.PlatformError as error:
    print(error)
from pathlib import Path
try:
    hetsim.ProfileFile(Path("p.jsonl"), None)
except hetsim.HetsimError as error:
    print(error)
""",
        folder,
    )
    devices, locks = told.splitlines()
    assert "executing and measuring need Linux" in devices
    assert "memfd_create, eventfd, sched_setaffinity" in devices
    assert "this system has no file locks (fcntl)" in locks
