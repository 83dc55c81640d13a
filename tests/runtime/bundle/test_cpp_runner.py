"""The C++ runner: it computes what our own runtime computes, has no race and no leak, and says what is wrong."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import hetsim
from hetsim.io.platform_file import load_platform
from hetsim.runtime.runtime import Runtime
from tests.support.bundles import (
    ALL_TYPES,
    SPOILT,
    bundle_of_all_types,
    change_manifest,
    plan_with_splits,
    spoil_example,
    tiny_bundle,
)

SOURCES = Path(hetsim.__file__).parent / "runtime" / "bundle" / "runner" / "cpp"
ENGINES = load_platform("cpu+npu")

pytestmark = pytest.mark.skipif(
    shutil.which("cmake") is None or shutil.which("g++") is None, reason="needs cmake and g++"
)


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command, built as its CMakeLists.txt says."""
    import openvino.utils

    build = tmp_path_factory.mktemp("build")
    for command in (
        ["cmake", "-S", str(SOURCES), "-B", str(build), f"-DOpenVINO_DIR={openvino.utils.get_cmake_path()}"],
        ["cmake", "--build", str(build), "--parallel", "2"],
    ):
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "warning" not in done.stderr
    return build / "run_bundle"


def run(*words: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command, the runner or another, with ONNX Runtime's library named."""
    import onnxruntime

    library = next((Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so*"))
    environment = {**os.environ, "HETSIM_ONNXRUNTIME": str(library)}
    return subprocess.run([*map(str, words)], capture_output=True, text=True, env=environment, cwd=cwd)


@pytest.mark.engines
def test_outputs_are_those_of_our_own_run_to_the_last_bit(runner: Path, tmp_path: Path) -> None:
    model, plan = plan_with_splits()
    hetsim.export(model, plan, tmp_path / "bundle", platform=ENGINES)
    inputs = hetsim.random_inputs(model, seed=3)
    (name,), (output,) = inputs, model.graph.outputs
    inputs[name].tofile(tmp_path / "in.bin")
    files = ["--input", f"{name}={tmp_path / 'in.bin'}", "--output", f"{output}={tmp_path / 'out.bin'}"]
    done = run(runner, tmp_path / "bundle", "--runs", "3", *files)
    assert done.returncode == 0, done.stderr
    with Runtime(ENGINES) as runtime, runtime.load(model, plan) as session:
        own = session.run(inputs).outputs[output]
    np.testing.assert_array_equal(np.fromfile(tmp_path / "out.bin", own.dtype).reshape(own.shape), own)
    done = run(runner, tmp_path / "bundle", "--runs", "7", "--json")  # the example
    said = json.loads(done.stdout)
    assert said["error"] <= said["tolerance"]
    assert len(said["latencies_s"]) == 7
    assert said["hand_over_s"] > 0


def doubled(right: np.ndarray) -> np.ndarray:
    """The values with the second one twice as large; a truth value is negated."""
    wrong = right.copy()
    wrong[1] = not right[1] if right.dtype == bool else right[1] + right[1]
    return wrong


@pytest.mark.engines
def test_outputs_of_every_type_are_compared(runner: Path, tmp_path: Path) -> None:
    bundle = bundle_of_all_types(tmp_path)
    assert json.loads(run(runner, bundle, "--runs", "1", "--json").stdout)["error"] == 0.0
    for output in (*ALL_TYPES, "tiny"):
        other = tmp_path / output
        shutil.copytree(bundle, other)
        right, wrong = (values.astype(np.float64) for values in spoil_example(other, output, doubled))
        done = run(runner, other, "--runs", "1", "--json")
        assert done.returncode == 1, output
        expected = np.abs(right - wrong).max() / (np.abs(wrong).max() or 1)
        assert json.loads(done.stdout)["error"] == pytest.approx(expected), output


@pytest.mark.engines
def test_an_infinity_is_no_number(runner: Path, tmp_path: Path) -> None:
    bundle = bundle_of_all_types(tmp_path)
    spoil_example(bundle, "huge", lambda right: np.where(np.isinf(right), np.float16(1.0), right))
    for command in ([str(runner)], [sys.executable, "run.py"]):
        done = run(*command, bundle, "--runs", "1", "--json", cwd=bundle)
        assert (done.returncode, json.loads(done.stdout)["error"]) == (1, float("inf"))


@pytest.mark.parametrize("sanitizer", ["thread", "address"])
def test_nothing_races_or_leaks_and_no_answer_is_wrong(sanitizer: str, tmp_path: Path) -> None:
    program = tmp_path / "stress"
    sources = [*sorted(SOURCES.glob("hetsim_bundle.cpp")), *sorted(SOURCES.glob("engine_*.cpp"))]
    flags = ["-std=c++17", "-Wall", "-Wextra", "-Werror", f"-fsanitize={sanitizer}", f"-I{SOURCES}", "-pthread"]
    words = ["g++", *flags, str(Path(__file__).with_name("stress.cpp")), *map(str, sources), "-ldl"]
    built = subprocess.run([*words, "-o", str(program)], capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    done = subprocess.run([str(program), str(tiny_bundle(tmp_path)), "10000"], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "10000 inferences\n", "")


@pytest.mark.parametrize("what", SPOILT)
def test_a_bundle_that_cannot_run_says_why_in_one_line(what: str, runner: Path, tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path)
    spoil, said = SPOILT[what]
    spoil(bundle)
    done = run(runner, bundle)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr


def test_a_failure_is_one_line_and_everything_ends(runner: Path, tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path)
    last = json.loads((bundle / "manifest.json").read_text())["steps"][-1]
    change_manifest(bundle, f"devices.{['cpu', 'npu'].index(last['device'])}.options", {"fail": last["ops"][0]})
    done = run(runner, bundle, "--output", f"y={tmp_path / 'out.bin'}")
    assert (done.returncode, done.stderr) == (2, "run_bundle: told to fail\n")
    assert not (tmp_path / "out.bin").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--runs", "0"], "--runs takes a number of at least 1, not '0'"),
        (["--runs"], "--runs lacks its value"),
        (["--input", "x"], "'x' is not of the form NAME=FILE"),
        (["--input", "z=in.bin"], "there is no 'z'; there are x"),
        (["--input", "x=none.bin"], "cannot read none.bin"),
        (["--tune"], "unknown option --tune; there are --runs, "),
    ],
)
def test_wrong_options_are_one_line(words: list[str], said: str, runner: Path, tmp_path: Path) -> None:
    done = run(runner, tiny_bundle(tmp_path), *words)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert said in done.stderr


def test_inputs_of_another_size_are_one_line(runner: Path, tmp_path: Path) -> None:
    (tmp_path / "in.bin").write_bytes(bytes(12))
    done = run(runner, tiny_bundle(tmp_path), "--input", f"x={tmp_path / 'in.bin'}")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "in.bin has 12 bytes, but input 'x' takes 128 of float32" in done.stderr


@pytest.mark.skipif(
    shutil.which("aarch64-linux-gnu-g++") is None or shutil.which("qemu-aarch64") is None,
    reason="needs a cross compiler for aarch64 and qemu-user",
)
def test_another_architecture_gives_the_same_answers(tmp_path: Path) -> None:
    program = tmp_path / "stress"
    sources = [Path(__file__).with_name("stress.cpp"), SOURCES / "hetsim_bundle.cpp", *SOURCES.glob("engine_*.cpp")]
    words = ["aarch64-linux-gnu-g++", "-std=c++17", "-O2", "-static", f"-I{SOURCES}", "-pthread", *map(str, sources)]
    built = subprocess.run([*words, "-o", str(program)], capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    done = subprocess.run(["qemu-aarch64", str(program), str(tiny_bundle(tmp_path)), "20000"], capture_output=True)
    assert (done.returncode, done.stdout) == (0, b"20000 inferences\n")
