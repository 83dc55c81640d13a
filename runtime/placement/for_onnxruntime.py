"""Placements for ONNX Runtime: a model whose nodes say on which device they run, and settings of the session."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import onnx

from hetsim.core.platform import Device, Platform
from hetsim.models.model import Model
from hetsim.runtime.backends.onnxruntime import graph_before_placement
from hetsim.runtime.placement.compare import onnxruntime_differences
from hetsim.runtime.placement.files import Answer, ProviderEntry, Settings
from hetsim.runtime.placement.job import Job, Verdict
from hetsim.runtime.placement.places import CPU_PROVIDER, annotation, provider_entry

KEY = "layer_ann"
_EXTERNAL_BYTES = 256 << 20
"""Models from this size on keep their weights in a file of their own, which ONNX Runtime maps into memory."""


def write(job: Job, folder: Path) -> Settings:
    """Write the annotated model into a folder, and return the settings of its session.

    Raises:
        PlatformError: If ONNX Runtime has no provider for a device.
    """
    config, entries = assignment_settings(job.devices)
    write_annotated(job.model, job.device_of, job.devices, folder / "model.onnx")
    cpu = _cpu_device(job.platform, job.devices) or job.devices[0]
    return job.settings("onnxruntime", threads=cpu.threads, cores=cpu.cores, session_config=config, providers=entries)


def judge(job: Job, folder: Path, settings: Settings, answer: Answer) -> Verdict:
    """What ONNX Runtime made of the placement, by its own report."""
    provider_of = {entry.device: entry.provider for entry in settings.providers}
    found = {name: str(provider) for name, provider in answer.nodes.items()}
    differences = onnxruntime_differences(
        job.model,
        job.device_of,
        provider_of,
        found,
        answer.absent,
        graph_before_placement(folder / "model.onnx"),
    )
    cpu = _cpu_device(job.platform, job.devices)
    device_of_provider = {
        entry.provider: entry.device for entry in settings.providers if entry.device not in answer.absent
    }
    if cpu is not None:
        device_of_provider.setdefault(CPU_PROVIDER, cpu.name)
    moved = {one.node: one.found for one in differences if one.found}
    here = {
        device: provider_of[device] if device not in answer.absent else CPU_PROVIDER
        for device in job.num_nodes_by_device
    }
    lost = ["ONNX Runtime runs nodes one after the other: devices do not overlap"]
    for device, reason in answer.absent.items():
        lost.append(
            f"device {job.platform.device(device).label}: {reason}; its {job.num_nodes_by_device[device]} nodes run by "
            f"{CPU_PROVIDER}"
        )
    return Verdict(
        differences=differences,
        places={op: moved.get(node, here[job.device_of[node]]) for op, node in job.first_nodes.items()},
        device_of=device_of_provider,
        devices={
            device: provider_of[device] + (" (not here)" if device in answer.absent else "") for device in provider_of
        },
        lost=tuple(lost),
    )


def _cpu_device(platform: Platform, first: tuple[Device, ...]) -> Device | None:
    """The device that is ONNX Runtime's CPU provider: of the plan, or else of the platform."""
    for device in (*first, *platform.devices):
        if device.backend == "onnxruntime" and device.target in ("", CPU_PROVIDER):
            return device
    return None


def write_annotated(model: Model, device_of: Mapping[str, str], devices: tuple[Device, ...], path: Path) -> None:
    """Write the model with the device of each node as its annotation.

    Args:
        model: The model, imported or rewritten.
        device_of: By node, its device.
        devices: The devices, in the order that :func:`assignment_settings` is given.
        path: The file; weights of a large model go into ``weights.bin`` beside it.
    """
    marks = {device.name: annotation(device, number) for number, device in enumerate(devices)}
    proto = onnx.ModelProto()
    proto.CopyFrom(model.standalone_proto())
    for node in proto.graph.node:
        for entry in [entry for entry in node.metadata_props if entry.key == KEY]:
            node.metadata_props.remove(entry)
        node.metadata_props.add(key=KEY, value=marks[device_of[node.name]])
    if proto.ByteSize() < _EXTERNAL_BYTES:
        path.write_bytes(proto.SerializeToString())
    else:
        onnx.save(proto, path, save_as_external_data=True, location="weights.bin", size_threshold=1024)


def assignment_settings(devices: tuple[Device, ...]) -> tuple[dict[str, str], tuple[ProviderEntry, ...]]:
    """Entries of the session's configuration, and the provider of each device.

    Providers go by their full names: ``cpu`` would also mean any other provider that runs on a CPU. The equals sign
    asks for the whole annotation; without it ``npu`` would also mean ``npu2``.

    Raises:
        PlatformError: If ONNX Runtime has no provider for a device.
    """
    entries = tuple(map(provider_entry, devices))
    rules = [
        f"{entry.provider}(={annotation(device, number)})"
        for number, (device, entry) in enumerate(zip(devices, entries, strict=True))
    ]
    config = {"session.layer_assignment_settings": ";".join(rules), "session.record_ep_graph_assignment_info": "1"}
    return config, entries
