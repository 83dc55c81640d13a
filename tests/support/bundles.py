"""What tests of bundles share: plans over two devices, platforms without cores, spoilt bundles."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper

import hetsim
from hetsim.core.plan import Plan
from hetsim.core.platform import Platform
from hetsim.io.platform_file import load_platform
from hetsim.models.model import Model
from tests.support.models import fake_platform, fork_join, make_plan
from tests.support.split_networks import plan_in_parts, split_problem, stack


def two_device_plan(model: Model) -> Plan:
    """Operators in turn on both devices."""
    names = [op.name for op in model.graph.ops]
    return make_plan(model, cpu=names[::2], npu=names[1::2])


def plan_with_splits() -> tuple[Model, Plan]:
    """Two convolutions by rows, one by channels, and the rest on one device."""
    model = stack(3, 3, 1, rows=16)
    return model, plan_in_parts(split_problem(model))


def unpinned(platform: Platform) -> Platform:
    """The platform without cores, so that tests run on any machine."""
    return platform.with_devices(*(replace(device, cores=()) for device in platform.devices))


def tiny_bundle(folder: Path) -> Path:
    """A bundle of the make-believe engine with segments on two devices."""
    model = fork_join()
    hetsim.export(model, two_device_plan(model), folder / "bundle", platform=unpinned(fake_platform()))
    return folder / "bundle"


ALL_TYPES = (
    "float64",
    "float32",
    "float16",
    "int64",
    "int32",
    "int16",
    "int8",
    "uint64",
    "uint32",
    "uint16",
    "uint8",
    "bool",
)


def bundle_of_all_types(folder: Path) -> Path:
    """A bundle with an output of each type, and float16 as subnormal numbers and as infinity."""
    casts = [
        helper.make_node("Cast", ["scaled"], [dtype], to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))
        for dtype in ALL_TYPES
    ]
    for name, factor in (("tiny", 1e-8), ("huge", 1e6)):
        casts += [
            helper.make_node("Constant", [], [f"by_{name}"], value_float=factor),
            helper.make_node("Mul", ["scaled", f"by_{name}"], [f"{name}_float"]),
            helper.make_node("Cast", [f"{name}_float"], [name], to=TensorProto.FLOAT16),
        ]
    start = [
        helper.make_node("Sigmoid", ["x"], ["between"]),
        helper.make_node("Constant", [], ["hundred"], value_float=100.0),
        helper.make_node("Mul", ["between", "hundred"], ["scaled"]),
    ]
    outputs = {dtype: dtype for dtype in ALL_TYPES} | {"tiny": "float16", "huge": "float16"}
    graph = helper.make_graph(
        [*start, *casts],
        "types",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [5])],
        [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), [5])
            for name, dtype in outputs.items()
        ],
    )
    proto = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    model = hetsim.import_model(proto, name="types")
    plan = make_plan(model, cpu=[op.name for op in model.graph.ops])
    hetsim.export(model, plan, folder / "types", platform=unpinned(load_platform("cpu+npu")))
    return folder / "types"


def spoil_example(
    bundle: Path, output: str, spoil: Callable[[np.ndarray], np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Change what the example expects of an output, with its hash; what it was, and what it is."""
    manifest = json.loads((bundle / "manifest.json").read_text())
    path = manifest["example"]["outputs"][output]
    dtype = next(tensor["dtype"] for tensor in manifest["tensors"] if tensor["name"] == output)
    right = np.fromfile(bundle / path, dtype)
    wrong = spoil(right)
    (bundle / path).write_bytes(wrong.tobytes())
    manifest["files"][path] = hashlib.sha256(wrong.tobytes()).hexdigest()
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    return right, wrong


def change_manifest(bundle: Path, key: str, value: object) -> None:
    """Change one value of the manifest; dots lead to inner ones."""
    path = bundle / "manifest.json"
    manifest = json.loads(path.read_text())
    *outer, last = key.split(".")
    inner = manifest
    for name in outer:
        inner = inner[int(name) if name.isdigit() else name]
    inner[last] = value
    path.write_text(json.dumps(manifest))


def _append(bundle: Path) -> None:
    with open(bundle / "segments" / "weights.bin", "ab") as file:
        file.write(b"x")


SPOILT: dict[str, tuple[Callable[[Path], object], str]] = {
    "changed file": (_append, "weights.bin differs from its hash in the manifest; export the bundle anew"),
    "lost file": (lambda bundle: shutil.rmtree(bundle / "example"), "; export the bundle anew"),
    "broken": (lambda bundle: (bundle / "manifest.json").write_text("{"), "manifest.json is malformed"),
    "empty": (lambda bundle: (bundle / "manifest.json").write_text("{}"), "is no manifest of a hetsim bundle"),
    "none": (lambda bundle: (bundle / "manifest.json").unlink(), "cannot read"),
    "newer": (lambda b: change_manifest(b, "version", 2), "the bundle has version 2, this runner takes version 1"),
    "core": (
        lambda b: change_manifest(b, "devices.0.cores", [4095]),
        "device 'cpu' is pinned to core 4095, but this process may",
    ),
    "engine": (lambda b: change_manifest(b, "devices.1.engine", "tpu"), "'tpu'"),
}
"""By what is wrong with a bundle: what makes it so, and what each runner says."""
