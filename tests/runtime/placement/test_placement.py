"""Placements: what is written, what the engines make of it, and what is said of bad input."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

import hetsim
from hetsim.core.errors import HetsimError
from hetsim.core.platform import Device, Platform
from hetsim.core.sources import Sheet
from hetsim.costs.profile import Header, Profile, Samples
from hetsim.io.platform_file import load_platform
from hetsim.runtime.placement.places import openvino_targets
from tests.support.bundles import plan_with_splits, two_device_plan, unpinned
from tests.support.models import fake_platform, fork_join, make_plan

RUNNER = Path(hetsim.__file__).parent / "runtime" / "placement" / "runner"
PLATFORM = unpinned(load_platform("cpu+npu"))
ENGINES = ("onnxruntime", "openvino")


def run(folder: Path, *options: str | Path) -> subprocess.CompletedProcess[str]:
    """The placement's own run.py, with nothing of the checkout on its path."""
    command = [sys.executable, "-I", str(folder / "run.py"), *map(str, options)]
    return subprocess.run(command, cwd=folder.parent, capture_output=True, text=True)


@pytest.fixture(scope="module", params=ENGINES)
def placement(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five operators in turn on both devices."""
    folder = tmp_path_factory.mktemp(request.param) / "placement"
    model = fork_join()
    hetsim.export(model, two_device_plan(model), folder, to=request.param, platform=PLATFORM)
    return folder


@pytest.mark.engines
def test_outputs_are_those_of_the_model(placement: Path) -> None:
    inputs = hetsim.random_inputs(fork_join(), seed=3)
    np.savez(placement.parent / "in.npz", **inputs)
    done = run(placement, "--inputs", placement.parent / "in.npz", "--outputs", placement.parent / "out.npz")
    assert done.returncode == 0, done.stderr
    with np.load(placement.parent / "out.npz") as found:
        assert found.files == ["y"]
        np.testing.assert_allclose(found["y"], fork_join().reference_outputs(inputs)["y"], rtol=1e-5, atol=1e-6)
    assert sorted(path.suffix for path in placement.iterdir() if path.name.startswith("model")) in (
        [".onnx"],
        [".bin", ".xml"],
    )


@pytest.mark.engines
def test_nodes_are_annotated_and_the_session_is_told_of_their_providers(tmp_path: Path) -> None:
    model = fork_join()
    report = hetsim.export(model, two_device_plan(model), tmp_path / "out", to="onnxruntime", platform=PLATFORM)
    nodes = onnx.load(tmp_path / "out" / "model.onnx").graph.node
    marks = {node.name: {entry.key: entry.value for entry in node.metadata_props}["layer_ann"] for node in nodes}
    assert marks == {"stem": "cpu", "left": "npu", "right": "cpu", "right2": "npu", "join": "cpu"}
    config = json.loads((tmp_path / "out" / "settings.json").read_text())["session_config"]
    assert config["session.layer_assignment_settings"] == "CPUExecutionProvider(=cpu);OpenVINOExecutionProvider(=npu)"
    assert report.latency.simulated_s is None
    assert "give one with --profile" in report.latency.why_not_simulated
    assert report.lost[0] == "ONNX Runtime runs nodes one after the other: devices do not overlap"
    written = json.loads((tmp_path / "out" / "report.json").read_text())
    assert (written["num_nodes"], written["num_as_planned"]) == (report.num_nodes, report.num_as_planned)
    if "npu" in report.devices and "not here" in report.devices["npu"]:  # this machine has no such provider
        moved = {one.node: one.found for one in report.differences}
        assert moved == {"left": "CPUExecutionProvider", "right2": "CPUExecutionProvider"}
        assert any("its 2 nodes run by CPUExecutionProvider" in line for line in report.lost)


@pytest.mark.engines
@pytest.mark.slow
def test_openvino_divides_the_model_as_planned_and_mixes_devices_without_affinities(tmp_path: Path) -> None:
    model, plan = plan_with_splits()
    folder = tmp_path / "out"
    report = hetsim.export(model, plan, folder, to="openvino", platform=PLATFORM)
    assert report.num_as_planned == report.num_nodes, report.differences
    assert report.output_error <= report.tolerance
    assert any("keep the affinities of 0 of" in line for line in report.lost)
    said = json.loads(run(folder, "--json").stdout)
    assert set(said["execution_devices"]) == {"CPU", "CPU_NPU"}
    assert said["num_submodels"] > 1
    affinities = json.loads((folder / "affinities.json").read_text())
    (folder / "affinities.json").write_text(json.dumps(dict.fromkeys(affinities, "CPU")))
    assert json.loads(run(folder, "--json").stdout)["num_submodels"] == 1


@pytest.mark.engines
@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_a_plan_for_the_engines_own_device_runs_as_planned_and_can_be_simulated(engine: str, tmp_path: Path) -> None:
    model = fork_join()
    ops = tuple(op.name for op in model.graph.ops)
    plan = make_plan(model, **{"cpu" if engine == "onnxruntime" else "npu": [" ".join(ops)]})
    profile = Profile(
        header=Header(model=model.name, model_hash=model.hash, machine="here", engines={}, date="2026-11-30T10:00:00Z")
    )
    for device in ("cpu", "npu"):
        for each in (ops, *((op,) for op in ops)):
            context = "configuration:operators" if len(each) == 1 else f"replay:{plan.digest}"
            profile.add(Samples(device=device, ops=each, context=context, samples_s=(0.007,) * 6))
    report = hetsim.export(model, plan, tmp_path / "out", to=engine, platform=PLATFORM, profile=profile)  # type: ignore[call-overload]
    assert {one.found for one in report.differences} <= {""}  # fused nodes have no place of their own
    assert report.latency.num_segments == 1
    assert report.latency.simulated_s == pytest.approx(0.007)  # as measured, not the sum of its operators


_OUTPUT_ERROR = RUNNER.parents[1] / "bundle" / "runner" / "output_error.py"


def test_run_py_knows_nothing_of_hetsim() -> None:
    for engine in ENGINES:
        imported = {
            alias.name if isinstance(node, ast.Import) else node.module
            for path in (RUNNER / f"run_{engine}.py", RUNNER / "placement_files.py", _OUTPUT_ERROR)
            for node in ast.walk(ast.parse(path.read_text("utf-8")))
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        }
        others = {name for name in imported if name and name.partition(".")[0] not in sys.stdlib_module_names}
        assert others == {"numpy", engine, "placement_files", "output_error"}


def _with(name: str, **changes: object) -> Platform:
    return PLATFORM.with_devices(replace(PLATFORM.device(name), **changes))  # type: ignore[arg-type]


SHEET = Sheet(peak_ops_per_s={"f32": 1e12}, memory_bytes_per_s=1e10)


@pytest.mark.parametrize(
    ("to", "platform", "said"),
    [
        ("onnxruntime", fake_platform(), "device 'cpu' is emulated, for which ONNX Runtime has no execution provider"),
        ("openvino", fake_platform(), "device 'cpu' is emulated, for which OpenVINO has no plugin"),
        (
            "onnxruntime",
            PLATFORM.with_devices(Device(name="npu", kind="npu", backend="none", nature="hypothetical", sheet=SHEET)),
            "device 'npu' is hypothetical, for which ONNX Runtime has no execution provider",
        ),
        (
            "openvino",
            _with("cpu", target="CUDAExecutionProvider"),
            "engine 'onnxruntime' with target 'CUDAExecutionProvider', for which OpenVINO has no plugin",
        ),
        ("openvino", _with("npu", target="GPU"), "device 'npu' of the plan is OpenVINO's GPU, but OpenVINO sees only"),
        ("tvm", PLATFORM, "plans are exported to bundle, onnxruntime, openvino, not to 'tvm'"),
    ],
    ids=["fake", "fake too", "hypothetical", "cuda", "no gpu", "target"],
)
def test_what_an_engine_does_not_have_is_one_line_and_nothing_is_written(
    to: str, platform: Platform, said: str, tmp_path: Path
) -> None:
    model = fork_join()
    with pytest.raises(HetsimError) as raised:
        hetsim.export(model, two_device_plan(model), tmp_path / "out", to=to, platform=platform)
    assert said in str(raised.value)
    assert raised.value.exit_code == 2
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_files_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    model = fork_join()
    with pytest.raises(HetsimError, match="is not empty; give another folder"):
        hetsim.export(model, two_device_plan(model), tmp_path, to="openvino", platform=PLATFORM)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def _newer(folder: Path) -> None:
    settings = json.loads((folder / "settings.json").read_text())
    (folder / "settings.json").write_text(json.dumps({**settings, "version": 2}))


def _core(folder: Path) -> None:
    settings = json.loads((folder / "settings.json").read_text())
    (folder / "settings.json").write_text(json.dumps({**settings, "cores": [4095]}))


@pytest.mark.engines
@pytest.mark.parametrize(
    ("spoil", "options", "said"),
    [
        (_newer, (), "of version 2, but this run.py reads 'hetsim-placement' up to version 1"),
        (_core, (), "this machine lacks one of the cores [4095]"),
        (lambda folder: (folder / "settings.json").write_text("{"), (), "cannot read"),
        (lambda folder: (folder / "inputs.npz").unlink(), (), "cannot read"),
        (lambda _: None, ("--runs", "0"), "--runs is 0; give at least 1"),
        (lambda _: None, ("--inputs", "nothing.npz"), "cannot read nothing.npz"),
    ],
    ids=["newer", "core", "broken", "lost", "runs", "inputs"],
)
def test_run_py_says_what_is_wrong_in_one_line(
    spoil: Callable[[Path], object], options: tuple[str, ...], said: str, placement: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in placement.iterdir():
        if path.is_file():
            (copy / path.name).write_bytes(path.read_bytes())
    spoil(copy)
    done = run(copy, *options)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert said in done.stderr


def test_devices_on_openvinos_cpu_have_a_name_each() -> None:
    cpu, npu = PLATFORM.devices
    assert openvino_targets((cpu, npu)) == (
        {"cpu": "CPU", "npu": "CPU_NPU"},
        {"CPU_NPU": "openvino_intel_cpu_plugin"},
    )
    assert openvino_targets((npu,)) == ({"npu": "CPU"}, {})
