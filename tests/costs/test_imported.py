"""Vendors' profiles as devices: what matches, what calls cost, files that are written, and commands that use them."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

import hetsim
from hetsim.core.errors import HetsimError, ProfileError
from hetsim.costs.hypothetical.imports.description import describe
from hetsim.costs.hypothetical.imports.imported import ImportedProfile, import_profile
from hetsim.costs.hypothetical.imports.matching import match
from hetsim.costs.problems import make_problem
from hetsim.io.platform_file import load_platform
from hetsim.io.vendor_profiles.reading import read_vendor_profile
from hetsim.io.vendor_profiles.records import OpTime
from hetsim.models.importer import load_model
from tests.support import vendor_profiles as samples
from tests.support.models import chain, images
from tests.support.programs.commands import hetsim_in_process

OPS = ("first", "relu", "second", "third", "pool")


def write(folder: Path, text: str, name: str = "trace.csv") -> Path:
    (folder / name).write_text(text)
    return folder / name


def imported(folder: Path, text: str, **settings: object) -> ImportedProfile:
    profile = read_vendor_profile([write(folder, text)], clock_hz=1e8 if text == samples.VELA else None)
    return import_profile(profile, images().graph, **settings)  # type: ignore[arg-type]


def op(name: str, kind: str = "", *candidates: str) -> OpTime:
    return OpTime(name=name, candidates=candidates or (name,), kind=kind, seconds=1.0)


def test_names_tensors_and_fused_operators() -> None:
    graph = images().graph
    found = match([op("first", "Conv2d"), op("c", "CONV_2D"), op("x_reorder", "Reorder"), op("LRN_7", "LRN")], graph)
    assert found.ops_of == {"first": ("first",), "c": ("second",)}  # c is the tensor that second makes
    assert found.fused == {"relu": "first"}
    assert (found.inserted, found.unmatched, found.untimed) == (("x_reorder",), ("LRN_7",), ("third", "pool"))


def test_a_kernel_called_after_its_last_tensor_stands_for_those_before() -> None:
    graph = images().graph
    found = match([op("b", "Conv")], graph)  # relu makes b, of what first makes
    assert (found.ops_of, found.fused) == ({"b": ("first", "relu")}, {"relu": "first"})
    assert match([op("b", "Relu")], graph).ops_of == {"b": ("relu",)}
    assert match([op("c", "Pooling")], graph).unmatched == ("c",)  # a convolution makes c, which nothing folds
    assert match([op("second", "Reorder")], graph).inserted == ("second",)  # only what is inserted borrows names


def tail() -> hetsim.Graph:
    """A convolution, a constant added, and a normalisation by hand whose parts also read each other."""
    ops = (("conv", "Conv", "x"), ("bias", "Add", "conv"), ("square", "Mul", "bias"), ("root", "Sqrt", "square"))
    made = [hetsim.Op(name=name, kind=kind, inputs=(read,), outputs=(name,)) for name, kind, read in ops]
    made.append(hetsim.Op(name="norm", kind="Div", inputs=("bias", "root"), outputs=("norm",)))
    tensors = {name: hetsim.Tensor(name, (4,)) for name in ("x", *(op.name for op in made))}
    return hetsim.Graph(name="tail", ops=tuple(made), tensors=tensors, inputs=("x",), outputs=("norm",))


def test_a_kernel_without_a_type_holds_all_that_leads_to_it_alone() -> None:
    found = match([op("conv", "Convolution"), op("norm", "Subgraph")], tail())
    assert found.ops_of["norm"] == ("norm", "bias", "square", "root")
    assert found.untimed == ()
    whole = match([op("norm", "Convolution")], tail())  # called after the last operator, counted at the convolution
    assert whole.ops_of == {"norm": ("conv", "bias", "square", "root", "norm")}
    assert match([op("norm", "Pooling")], tail()).ops_of == {"norm": ("norm",)}  # no pooling leads to it


def test_what_a_profile_lists_as_not_run_is_fused() -> None:
    timed = [op("conv", "Convolution")]
    assert match(timed, tail()).untimed == ("square", "root", "norm")  # the constant is folded, the rest is nobody's
    found = match(timed, tail(), not_run={"norm", "elsewhere"})
    assert found.fused == dict.fromkeys(("bias", "square", "root", "norm"), "conv")
    assert found.untimed == ()


def test_several_names_of_one_kernel_are_fused() -> None:
    found = match([op("second;third", "CONV_2D", "second;third", "second", "third")], images().graph)
    assert (found.ops_of, found.fused) == ({"second;third": ("second", "third")}, {"third": "second"})


def test_what_others_read_is_not_fused() -> None:
    conv = hetsim.Op(name="conv", kind="Conv", inputs=("x",), outputs=("a",))
    relu = hetsim.Op(name="relu", kind="Relu", inputs=("a",), outputs=("b",))
    add = hetsim.Op(name="add", kind="Add", inputs=("a", "b"), outputs=("y",))
    tensors = {name: hetsim.Tensor(name, (4,)) for name in ("x", "a", "b", "y")}
    fork = hetsim.Graph(name="fork", ops=(conv, relu, add), tensors=tensors, inputs=("x",), outputs=("y",))
    found = match([op("conv", "Conv")], fork)
    assert (found.fused, found.untimed) == ({}, ("relu", "add"))


def test_by_order_only_types_of_which_both_have_as_many() -> None:
    graph = images().graph
    profiled = [op("k1", "Convolution"), op("k2", "Convolution"), op("k3", "Convolution"), op("k4", "MEAN")]
    assert match(profiled, graph).ops_of == {}
    found = match(profiled, graph, by="order")
    assert found.ops_of == {"k1": ("first",), "k2": ("second",), "k3": ("third",), "k4": ("pool",)}
    assert (found.num_by_order, found.fused) == (4, {"relu": "first"})
    assert match(profiled[1:], graph, by="order").ops_of == {"k4": ("pool",)}


def test_costs_of_warm_and_cold_calls(tmp_path: Path) -> None:
    warm, cold = (imported(tmp_path, samples.optrace(), which=which) for which in ("warm", "cold"))
    assert warm.seconds == pytest.approx({"first": 40e-6, "second": 60e-6, "third": 20e-6, "pool": 40e-6})
    assert warm.inserted_s == pytest.approx(40e-6)
    assert warm.launch_s == pytest.approx(4.84e-3)  # 5 ms less 200 us of operators, and what was inserted
    assert (warm.num_calls, warm.num_used, cold.num_used) == (4, 3, 1)
    assert cold.seconds["first"] == pytest.approx(200e-6)
    assert cold.launch_s == pytest.approx(8.2e-3)
    assert warm.cold is not None
    assert warm.cold.launch_s == pytest.approx(8e-3)
    assert warm.matching.untimed == warm.matching.unmatched == ()
    assert imported(tmp_path, samples.optrace(), launch_s=1e-4).launch_s == pytest.approx(1.4e-4)
    assert "4 operators in 0.160 ms, launch 4.840 ms" in str(warm)
    lines = "\n".join(describe(warm, "npu"))
    assert "a call of 5.000 ms: launch cost 4.800 ms (96.0%)" in lines
    assert "inserted, counted as launch cost: 3: Input OpId_2, Transpose_token_9_2:OpId_4, Output OpId_3" in lines
    assert "matched: 4 of the profile's 7 operators; of the model's 5, 4 have a time and 1 are fused" in lines


@pytest.mark.parametrize(
    ("text", "by"),
    [
        (samples.onnxruntime(), "names"),
        (samples.OPENVINO, "names"),
        (samples.VELA, "names"),
        (samples.LITERT, "names"),
        (samples.executorch(), "order"),
    ],
    ids=("onnxruntime", "openvino", "vela", "litert", "executorch"),
)
def test_every_format_times_every_operator(text: str, by: str, tmp_path: Path) -> None:
    found = imported(tmp_path, text, by=by)
    assert found.seconds == pytest.approx({"first": 50e-6, "second": 30e-6, "third": 20e-6, "pool": 10e-6})
    assert found.matching.fused == {"relu": "first"}
    assert found.matching.untimed == found.matching.unmatched == ()


def test_another_model_is_refused(tmp_path: Path) -> None:
    profile = read_vendor_profile([write(tmp_path, samples.optrace())])
    with pytest.raises(
        ProfileError, match=r"none of the 7 operators of .* is one of 'chain.*give the model that was pro"
    ):
        import_profile(profile, chain(2).graph)


def test_the_device_is_planned_for_as_one_segment_or_in_parts(tmp_path: Path) -> None:
    trace, summary = write(tmp_path, samples.optrace()), write(tmp_path, samples.qhas(), "qhas.json")
    out, model = tmp_path / "npu.toml", images()
    hetsim.import_profile([trace, summary], model, out, precision="i8", platform="phone")
    platform = load_platform(out)
    npu = platform.device("npu")
    assert (npu.label, npu.precision, platform.device_names) == ("npu (hypothetical)", "i8", ("cpu", "npu"))
    assert npu.source is not None
    assert "Qualcomm QNN optrace, trace.csv and qhas.json, median of 3 warm calls" in npu.source.description
    problem = make_problem(model, platform)
    whole, part = problem.latency("npu", OPS), problem.latency("npu", ("first", "relu"))
    assert whole is not None
    assert part is not None
    assert whole.seconds == pytest.approx(5e-3)
    assert part.seconds == pytest.approx(4.88e-3)
    assert problem.traffic_bytes("npu", ("first", "relu", "second")) == 3024
    without = problem.traffic_bytes("npu", OPS)  # the summary has no third and no pool
    assert without > 0
    solution = hetsim.plan(model, platform=platform, scheduler="search", max_evaluations=20)
    assert hetsim.simulate(model, solution.plan, platform=platform).makespan_s == pytest.approx(solution.makespan_s)
    assert hetsim.plan(model, platform=platform, scheduler="single:npu").makespan_s == pytest.approx(5e-3)


def test_nothing_is_written_where_anything_is_wrong(tmp_path: Path) -> None:
    trace = write(tmp_path, samples.optrace()[:-30])
    for settings, message in (
        ({}, "cut short"),
        ({"call": "hot"}, "call is one of warm, cold, not 'hot'"),
        ({"match": "luck"}, "match is one of names, order, not 'luck'"),
        ({"kind": "tpu"}, "kind is one of cpu, npu, gpu, not 'tpu'"),
    ):
        with pytest.raises(HetsimError, match=message):
            hetsim.import_profile(trace, images(), tmp_path / "out" / "npu.toml", **settings)  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


def test_commands(tmp_path: Path) -> None:
    onnx.save(images().proto, tmp_path / "images.onnx")
    write(tmp_path, samples.optrace())
    args = ("import-profile", "trace.csv", "--model", "images.onnx", "--platform", "phone", "--out", "htp.toml")
    done = hetsim_in_process(*args, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "npu (hypothetical): images by Qualcomm QNN optrace, trace.csv, median of 3 warm calls" in done.stdout
    for command in (
        ("plan", "images.onnx", "--platform", "htp.toml", "--scheduler", "heft", "--out", "plan.json"),
        ("simulate", "images.onnx", "--plan", "plan.json", "--platform", "htp.toml"),
        ("explain", "images.onnx", "--plan", "plan.json", "--platform", "htp.toml", "--replan", "0"),
    ):
        used = hetsim_in_process(*command, cwd=tmp_path)
        assert used.returncode == 0, used.stderr
        assert "npu (hypothetical)" in used.stdout or "hypothetical" in used.stdout
    write(tmp_path, samples.optrace().replace("0,NODE", "0,KNOT", 1))
    done = hetsim_in_process(*args[:-1], "no.toml", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "line 11: expected a message of BACKEND" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.glob("no*"))


@pytest.mark.engines
def test_real_engines_profiles_match_whole(tmp_path: Path) -> None:
    import json

    import numpy as np
    import onnxruntime
    import openvino

    model = load_model("squeezenet")
    inputs = {name: np.zeros(model.graph.tensors[name].shape, np.float32) for name in model.graph.inputs}
    options = onnxruntime.SessionOptions()
    options.enable_profiling, options.profile_file_prefix = True, str(tmp_path / "ort")
    session = onnxruntime.InferenceSession(model.proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    for _ in range(3):
        session.run(None, inputs)
    by_runs = import_profile(read_vendor_profile([session.end_profiling()]), model.graph)
    (tmp_path / "squeezenet.onnx").write_bytes(model.proto.SerializeToString())
    settings = {"PERF_COUNT": True, "INFERENCE_NUM_THREADS": 1}
    request = openvino.Core().compile_model(tmp_path / "squeezenet.onnx", "CPU", settings).create_infer_request()
    request.infer(inputs)
    counters = [
        {
            "node_name": one.node_name,
            "status": str(one.status),
            "node_type": one.node_type,
            "exec_type": one.exec_type,
            "real_time_us": one.real_time.total_seconds() * 1e6,
        }
        for one in request.get_profiling_info()
    ]
    by_counters = import_profile(read_vendor_profile([write(tmp_path, json.dumps(counters), "ov.json")]), model.graph)
    for found in (by_runs, by_counters):
        assert found.matching.untimed == found.matching.unmatched == ()
        assert len(found.seconds) + len(found.matching.fused) == len(model.graph.ops)
        assert found.ops_s > 0
    assert by_runs.costs.total_s is not None
    parts_s = by_runs.ops_s + by_runs.inserted_s + by_runs.costs.launch_s
    assert by_runs.costs.total_s == pytest.approx(parts_s)  # of two warm calls medians are means, which add up
