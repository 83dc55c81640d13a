"""Writes a plan as a bundle: a folder that runs without hetsim."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np

from hetsim.core.dataflow import Dataflow, check_plan
from hetsim.core.errors import PlanError, PlatformError
from hetsim.core.plan import Plan, Segment
from hetsim.core.platform import Device, Platform
from hetsim.models.model import Model
from hetsim.models.segments.files import SegmentStore
from hetsim.models.split.planned import planned_model
from hetsim.runtime.backends import make_backend
from hetsim.runtime.bundle.manifest import (
    FILE_NAME,
    DeviceEntry,
    ExampleEntry,
    Manifest,
    Seconds,
    StepEntry,
    TensorEntry,
    encode,
)
from hetsim.runtime.worker.arena import Layout, plan_layout
from hetsim.runtime.worker.device_local import device_local_tensors
from hetsim.runtime.worker.program import Program, build_programs

ENGINES = ("onnxruntime", "openvino")
"""The engines that runners drive, beside the make-believe one of tests."""
_DEFAULT_TARGETS = {"onnxruntime": "CPUExecutionProvider", "openvino": "CPU"}
_RUNNER = Path(__file__).with_name("runner")


@dataclass(frozen=True, kw_only=True)
class Example:
    """Values by which a bundle is checked.

    Attributes:
        inputs: The model's inputs by tensor.
        outputs: What the reference engine makes of them, by tensor.
        tolerance: The largest error of an output that is still right, relative to the output's largest magnitude.
    """

    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]
    tolerance: float


@dataclass(frozen=True, kw_only=True)
class ExpectedTimes:
    """How long a plan should take, in seconds.

    Attributes:
        latency: Of one inference.
        segments: Of each segment.
    """

    latency: Seconds | None = None
    segments: Mapping[Segment, Seconds] = field(default_factory=dict)


def write_bundle(
    model: Model, plan: Plan, platform: Platform, out: Path, *, example: Example, expected: ExpectedTimes
) -> Manifest:
    """Write a plan as a bundle, completely or not at all, and return its manifest.

    Args:
        model: The imported model.
        plan: A plan for it on the platform's devices, with splits or without.
        platform: The devices.
        out: The folder; it must not exist, or be empty.
        example: Values by which the bundle is checked.
        expected: How long the plan should take.

    Raises:
        PlanError: If the plan does not fit the model, the model has values that no bundle holds, or the folder is not
            empty.
        PlatformError: If a device of the plan has no engine that a runner drives, or it is not installed.
    """
    if out.exists() and any(out.iterdir()):
        raise PlanError(f"{out} is not empty; give another folder with --out, or remove it")
    planned = planned_model(model, plan)
    plan = plan.in_order(planned.graph)
    flow = check_plan(planned.graph, plan, device_names=platform.device_names, model_hash=model.hash)
    check_plain(planned)
    devices = [device for device in platform.devices if plan.queues.get(device.name)]
    entries = tuple(map(_device_entry, devices))
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(mkdtemp(dir=out.parent, prefix=f".{out.name}."))
    try:
        (folder / "segments").mkdir()
        store = SegmentStore(model, folder / "segments")
        layout = plan_layout(flow, num_devices=len(platform.devices), num_slots=1)
        programs = build_programs(flow, layout, planned, store, platform.device_names)
        values = _write_example(folder, example)
        hashes = _hashes(folder)
        manifest = Manifest(
            model=model.name,
            model_hash=model.hash,
            plan_digest=plan.digest,
            scheduler=plan.scheduler,
            made_by=f"hetsim {version('hetsim')}",
            devices=entries,
            arena_bytes=layout.slot_bytes,
            tensors=_tensor_entries(flow, layout, devices),
            inputs=flow.graph.inputs,
            outputs=flow.graph.outputs,
            steps=_step_entries(flow, programs, expected),
            example=values,
            files=hashes,
            expected=expected.latency,
        )
        shutil.copytree(_RUNNER, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__*__*"))
        (folder / FILE_NAME).write_bytes(encode(manifest))
        folder.chmod(0o755)
        folder.replace(out)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return manifest


def check_plain(model: Model, what: str = "a bundle") -> None:
    """Check that the model has no values or operators that an export does not hold.

    Raises:
        PlanError: If it has.
    """
    if model.custom_ops:
        raise PlanError(
            f"{model.name!r} needs the custom operators of {model.custom_ops[0]}, which {what} does not hold; "
            "execute the plan with: hetsim run"
        )
    for tensor in model.graph.tensors.values():
        if tensor.is_opaque:
            raise PlanError(
                f"tensor {tensor.name!r} is no array of numbers of known size, which {what} does not hold; "
                "execute the plan with: hetsim run"
            )


def _device_entry(device: Device) -> DeviceEntry:
    if device.backend not in (*ENGINES, "fake"):
        what = f"is {device.nature}" if device.nature == "hypothetical" else f"has engine {device.backend!r}"
        raise PlatformError(
            f"device {device.name!r} {what}, which no runner of a bundle drives; they drive {' and '.join(ENGINES)}"
        )
    if device.is_paced or device.plugin is not None:
        what = "is emulated: its engine is not the one that its times are of" if device.is_paced else "needs a plugin"
        raise PlatformError(f"device {device.name!r} {what}, which no runner of a bundle drives; execute: hetsim run")
    return DeviceEntry(
        name=device.name,
        nature=device.nature,
        engine=device.backend,
        engine_version=make_backend(device).describe().split()[1],
        target=device.target or _DEFAULT_TARGETS.get(device.backend, ""),
        precision=device.precision,
        threads=device.threads,
        cores=device.cores,
        options=dict(device.options),
    )


def _tensor_entries(flow: Dataflow, layout: Layout, devices: list[Device]) -> tuple[TensorEntry, ...]:
    """All tensors that segments access, and in which form."""
    own_formats = [device.name for device in devices if _stores_bf16(device)]
    local = {name: own for name, own in device_local_tensors(flow).items() if own.device in own_formats}
    return tuple(
        TensorEntry(
            name=name,
            dtype=flow.graph.tensors[name].dtype,
            shape=flow.graph.tensors[name].shape,
            offset=offset,
            num_bytes=flow.graph.tensors[name].num_bytes,
            stored_as="bf16" if name in local else "",
            is_image=name in local and local[name].is_image,
        )
        for name, offset in layout.offsets.items()
    )


def _stores_bf16(device: Device) -> bool:
    """Whether the device stores its own tensors in bf16, as :mod:`hetsim.runtime.backends.openvino` does."""
    return device.backend == "openvino" and device.target in ("", "CPU") and device.precision == "bf16"


def _step_entries(flow: Dataflow, programs: Mapping[str, Program], expected: ExpectedTimes) -> tuple[StepEntry, ...]:
    tasks = {task.step: task for program in programs.values() for task in program.tasks}
    return tuple(
        StepEntry(
            device=step.segment.device,
            file=f"segments/{tasks[number].path.name}",
            ops=step.segment.ops,
            reads=tuple(tensor.name for tensor in tasks[number].inputs),
            writes=tuple(tensor.name for tensor in tasks[number].outputs),
            waits_for=tasks[number].waits_for,
            expected=expected.segments.get(step.segment),
        )
        for number, step in enumerate(flow.steps)
    )


def _write_example(folder: Path, example: Example) -> ExampleEntry:
    (folder / "example").mkdir()
    files: dict[str, dict[str, str]] = {}
    for kind, values in (("input", example.inputs), ("output", example.outputs)):
        files[kind] = {}
        for number, (name, value) in enumerate(values.items()):
            files[kind][name] = f"example/{kind}{number}.bin"
            (folder / files[kind][name]).write_bytes(np.ascontiguousarray(value).tobytes())
    return ExampleEntry(inputs=files["input"], outputs=files["output"], tolerance=example.tolerance)


def _hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of each file, by path within the folder."""
    found: dict[str, str] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with open(path, "rb") as file:
            found[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return found
