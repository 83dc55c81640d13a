"""Bundles: what is written, what its runner computes without hetsim, and what both say of bad input."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import hetsim
from hetsim.core.errors import HetsimError
from hetsim.io.platform_file import load_platform
from hetsim.models.importer import load_model
from hetsim.runtime.runtime import Runtime
from hetsim.tuner.steps.profiling import profile_model
from tests.support.bundles import SPOILT, change_manifest, plan_with_splits, tiny_bundle, two_device_plan, unpinned
from tests.support.models import fake_platform, fork_join
from tests.support.tuning import tuning_context

RUNNER = Path(hetsim.__file__).parent / "runtime" / "bundle" / "runner"
ENGINES = load_platform("cpu+npu")


def run(bundle: Path, *options: str | Path) -> subprocess.CompletedProcess[str]:
    """The bundle's own runner, from another folder, with nothing of the checkout on its path."""
    command = [sys.executable, "-I", str(bundle / "run.py"), *map(str, options)]
    return subprocess.run(command, cwd=bundle.parent, capture_output=True, text=True)


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return tiny_bundle(tmp_path)


@pytest.mark.engines
@pytest.mark.parametrize("network", ["squeezenet", "with splits"])
def test_outputs_are_those_of_our_own_run_to_the_last_bit(network: str, tmp_path: Path) -> None:
    model, plan = plan_with_splits()
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
    assert others == {"numpy", "output_error", *engines, *(path.stem for path in RUNNER.glob("bundle_*.py"))}


def test_the_manifest_says_what_a_runner_needs(tmp_path: Path) -> None:
    model, plan = plan_with_splits()
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


def test_a_failure_is_one_line_and_everything_ends(tiny: Path) -> None:
    last = json.loads((tiny / "manifest.json").read_text())["steps"][-1]
    change_manifest(tiny, f"devices.{['cpu', 'npu'].index(last['device'])}.options", {"fail": last["ops"][0]})
    done = run(tiny, "--outputs", tiny.parent / "out.npz")
    assert (done.returncode, done.stderr) == (2, "run.py: RuntimeError: told to fail\n")
    assert not (tiny.parent / "out.npz").exists()


@pytest.mark.parametrize("what", SPOILT)
def test_a_bundle_that_cannot_run_says_why_in_one_line(what: str, tiny: Path) -> None:
    spoil, said = SPOILT[what]
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
    with pytest.raises(HetsimError, match="plans are exported to bundle, onnxruntime, openvino, not to 'paper'"):
        hetsim.export(model, plan, tmp_path / "none", to="paper", platform=fake_platform())
    assert [path.name for path in tmp_path.iterdir()] == ["full"]
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine.txt"]
