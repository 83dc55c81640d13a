"""Bundles: what is written, what its runner computes without hetsim, and what both say of bad input."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import hetsim
from hetsim.core.errors import HetsimError
from hetsim.core.plan import Plan
from hetsim.core.platform import Platform
from hetsim.io.platform_file import load_platform
from hetsim.models.importer import load_model
from hetsim.models.model import Model
from hetsim.runtime.runtime import Runtime
from hetsim.scheduler.splits.placement import split_plan
from hetsim.scheduler.stages import Stage
from hetsim.tuner.steps.profiling import profile_model
from tests.support.models import fake_platform, fork_join, make_plan
from tests.support.split_networks import channel_splits, row_split, split_problem, stack
from tests.support.tuning import tuning_context

RUNNER = Path(hetsim.__file__).parent / "runtime" / "bundle" / "runner"
ENGINES = load_platform("cpu+npu")


def run(bundle: Path, *options: str | Path) -> subprocess.CompletedProcess[str]:
    """The bundle's own runner, from another folder, with nothing of the checkout on its path."""
    command = [sys.executable, "-I", str(bundle / "run.py"), *map(str, options)]
    return subprocess.run(command, cwd=bundle.parent, capture_output=True, text=True)


def two_device_plan(model: Model) -> Plan:
    """Operators in turn on both devices."""
    names = [op.name for op in model.graph.ops]
    return make_plan(model, cpu=names[::2], npu=names[1::2])


@pytest.fixture(scope="module")
def plan_with_splits() -> tuple[Model, Plan]:
    """Two convolutions by rows, one by channels, and the rest on one device."""
    model = stack(3, 3, 1, rows=16)
    problem = split_problem(model)
    rows = row_split(problem, ("conv0", "conv1"), (0.5, 0.5))
    assert rows is not None
    both = ("cpu", "npu")
    stages = (
        Stage(ops=("conv0", "conv1"), devices=both, splits=(rows,)),
        Stage(ops=("conv2",), devices=both, splits=channel_splits(problem, ("conv2",), (0.5, 0.5))),
        Stage(ops=("pool",), devices=("npu",)),
    )
    return model, split_plan(problem, stages)


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A bundle of the make-believe engine."""
    model = fork_join()
    hetsim.export(model, two_device_plan(model), tmp_path / "bundle", platform=unpinned(fake_platform()))
    return tmp_path / "bundle"


def unpinned(platform: Platform) -> Platform:
    """The platform without cores, so that tests run on any machine."""
    return platform.with_devices(*(replace(device, cores=()) for device in platform.devices))


@pytest.mark.engines
@pytest.mark.parametrize("network", ["squeezenet", "with splits"])
def test_outputs_are_those_of_our_own_run_to_the_last_bit(
    network: str, plan_with_splits: tuple[Model, Plan], tmp_path: Path
) -> None:
    model, plan = plan_with_splits
    if network == "squeezenet":
        model = load_model(network)
        plan = two_device_plan(model)
    hetsim.export(model, plan, tmp_path / "bundle", platform=ENGINES)
    inputs = hetsim.random_inputs(model, seed=3)
    np.savez(tmp_path / "in.npz", **inputs)
    done = run(tmp_path / "bundle", "--inputs", tmp_path / "in.npz", "--outputs", tmp_path / "out.npz", "--runs", "3")
    assert done.returncode == 0, done.stderr
    with Runtime(ENGINES) as runtime, runtime.load(model, plan) as session:
        own = session.run(inputs).outputs
    with np.load(tmp_path / "out.npz") as found:
        assert set(found.files) == set(model.graph.outputs)
        for name in found.files:
            np.testing.assert_array_equal(found[name], own[name])
    said = json.loads(run(tmp_path / "bundle", "--runs", "7", "--json").stdout)  # the example
    assert said["error"] <= said["tolerance"]
    assert len(said["latencies_s"]) == 7
    assert all(0 < seconds < 60 for seconds in said["latencies_s"])


def test_the_runner_knows_nothing_of_hetsim() -> None:
    imported = {
        alias.name if isinstance(node, ast.Import) else node.module
        for path in RUNNER.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    others = {name for name in imported if name and name.partition(".")[0] not in sys.stdlib_module_names}
    engines = {"onnxruntime", "openvino", "openvino.preprocess"}
    assert others == {"numpy", *engines, *(path.stem for path in RUNNER.glob("bundle_*.py"))}


def test_the_manifest_says_what_a_runner_needs(plan_with_splits: tuple[Model, Plan], tmp_path: Path) -> None:
    model, plan = plan_with_splits
    manifest = hetsim.export(model, plan, tmp_path / "bundle", platform=unpinned(fake_platform()))
    written = json.loads((tmp_path / "bundle" / "manifest.json").read_text())
    assert (written["format"], written["version"], written["plan_digest"]) == ("hetsim-bundle", 1, plan.digest)
    assert {device["name"] for device in written["devices"]} == {"cpu", "npu"}
    assert len(manifest.steps) == plan.num_segments
    tensors = {tensor.name: tensor for tensor in manifest.tensors}
    made: set[str] = set(manifest.inputs)
    for number, step in enumerate(manifest.steps):
        assert made.issuperset(step.reads)  # steps are in an order that could run serially
        assert all(other < number for other in step.waits_for)
        made |= set(step.writes)
        assert (tmp_path / "bundle" / step.file).exists()
        for name in (*step.reads, *step.writes):
            assert tensors[name].offset + tensors[name].num_bytes <= manifest.arena_bytes
    assert made.issuperset(manifest.outputs)
    assert {step.file for step in manifest.steps} <= set(manifest.files)
    assert {"segments/weights.bin", *manifest.example.inputs.values()} <= set(manifest.files)


def test_expected_times_have_intervals_where_the_plan_was_measured(tmp_path: Path) -> None:
    model, platform = fork_join(), fake_platform(op_s="0.001")
    plan = two_device_plan(model)
    with tuning_context(model, platform, tmp_path) as context:
        profile_model(context)
        before = hetsim.export(model, plan, tmp_path / "before", platform=platform, profile=context.file.profile)
        context.replay(plan)
        after = hetsim.export(model, plan, tmp_path / "after", platform=platform, profile=context.file.profile)
    for manifest in (before, after):
        assert manifest.expected is not None
        assert manifest.expected.seconds >= 0.003  # three operators follow each other
        assert all(step.expected is not None and step.expected.seconds >= 0.0009 for step in manifest.steps)
    assert [step.expected.low_s for step in before.steps if step.expected] == [None] * len(before.steps)
    for step in after.steps:
        assert step.expected is not None
        assert step.expected.low_s is not None
        assert step.expected.high_s is not None
        assert 0.001 <= step.expected.low_s <= step.expected.high_s


def test_a_failure_is_one_line_and_everything_ends(tmp_path: Path) -> None:
    model = fork_join()
    plan = two_device_plan(model)
    last = plan.queues["npu"][-1].ops[0]
    hetsim.export(model, plan, tmp_path / "bundle", platform=unpinned(fake_platform()))
    path = tmp_path / "bundle" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["devices"][1]["options"] = {"fail": last}
    path.write_text(json.dumps(manifest))
    done = run(tmp_path / "bundle", "--outputs", tmp_path / "out.npz")
    assert (done.returncode, done.stderr) == (2, "run.py: RuntimeError: told to fail\n")
    assert not (tmp_path / "out.npz").exists()


def changed(key: str, value: object) -> Callable[[Path], None]:
    """Changes one value of the manifest; dots lead to inner ones."""

    def change(bundle: Path) -> None:
        manifest = json.loads((bundle / "manifest.json").read_text())
        *outer, last = key.split(".")
        inner = manifest
        for name in outer:
            inner = inner[int(name) if name.isdigit() else name]
        inner[last] = value
        (bundle / "manifest.json").write_text(json.dumps(manifest))

    return change


def appended(bundle: Path) -> None:
    """One more byte at the end of the weights."""
    with open(bundle / "segments" / "weights.bin", "ab") as file:
        file.write(b"x")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (appended, "weights.bin differs from its hash in the manifest; export the bundle anew"),
        (lambda bundle: shutil.rmtree(bundle / "example"), "No such file or directory; export the bundle anew"),
        (lambda bundle: (bundle / "manifest.json").write_text("{"), "manifest.json is malformed"),
        (lambda bundle: (bundle / "manifest.json").write_text("{}"), "is no manifest of a hetsim bundle"),
        (lambda bundle: (bundle / "manifest.json").unlink(), "cannot read"),
        (changed("version", 2), "the bundle has version 2, this runner takes version 1"),
        (changed("devices.0.cores", [4095]), "device 'cpu' is pinned to core 4095, but this process may use cores"),
        (changed("devices.1.engine", "tpu"), "device 'npu': KeyError: 'tpu'"),
    ],
    ids=["changed file", "lost file", "broken", "empty", "none", "newer", "core", "engine"],
)
def test_a_bundle_that_cannot_run_says_why_in_one_line(spoil: Callable[[Path], object], said: str, tiny: Path) -> None:
    spoil(tiny)
    done = run(tiny)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "lacks the input 'x'; it has nothing"),
        ({"x": np.zeros((4, 8), np.float32), "z": np.zeros(1)}, "has 'z', but the model's inputs are x"),
        ({"x": np.zeros((4, 9), np.float32)}, "input 'x' is float32 [4, 9], but the bundle takes float32 [4, 8]"),
        ({"x": np.zeros((4, 8))}, "input 'x' is float64 [4, 8], but the bundle takes float32 [4, 8]"),
    ],
    ids=["missing", "unknown", "shape", "type"],
)
def test_inputs_that_do_not_fit_are_one_line(given: dict[str, np.ndarray], said: str, tiny: Path) -> None:
    np.savez(tiny.parent / "in.npz", **given)
    done = run(tiny, "--inputs", tiny.parent / "in.npz", "--outputs", tiny.parent / "out.npz")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert said in done.stderr
    assert not (tiny.parent / "out.npz").exists()


def test_what_cannot_be_exported_leaves_nothing(tmp_path: Path) -> None:
    model = fork_join()
    plan = two_device_plan(model)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    cases = [
        (tmp_path / "full", fake_platform(), "is not empty; give another folder with --out, or remove it"),
        (tmp_path / "paper", load_platform("phone"), "is hypothetical, which no runner of a bundle drives"),
        (tmp_path / "other", fake_platform("cpu"), "plan uses device 'npu', but the platform has cpu"),
    ]
    for out, platform, said in cases:
        with pytest.raises(HetsimError, match=said):
            hetsim.export(model, plan, out, platform=platform)
    with pytest.raises(HetsimError, match="plans are exported to bundle, not to 'paper'"):
        hetsim.export(model, plan, tmp_path / "none", to="paper", platform=fake_platform())
    assert [path.name for path in tmp_path.iterdir()] == ["full"]
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine.txt"]
