"""Placements for OpenVINO's HETERO plugin: a model in its files, and an affinity for each of its nodes."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import onnx

from hetsim.core.platform import Device
from hetsim.models.model import Model
from hetsim.runtime.backends.openvino import convert_to_ir
from hetsim.runtime.placement.compare import openvino_differences
from hetsim.runtime.placement.files import Answer, Settings
from hetsim.runtime.placement.job import Job, Verdict
from hetsim.runtime.placement.places import openvino_targets


def write(job: Job, folder: Path) -> Settings:
    """Write the model and the affinities of its nodes into a folder, and return the settings for its compilation.

    Raises:
        PlatformError: If OpenVINO has no plugin for a device.
        Refused: If it cannot convert the model.
    """
    targets, plugins = openvino_targets(job.devices)
    owners = write_ir(job.model, folder / "model.xml")
    affinities = {name: targets[job.device_of[owner]] for name, owner in owners.items()}
    (folder / "affinities.json").write_bytes(msgspec.json.format(msgspec.json.encode(affinities), indent=1) + b"\n")
    (folder / "owners.json").write_bytes(msgspec.json.encode(owners))
    first = next((device for device in job.devices if device.backend == "openvino"), job.devices[0])
    return job.settings(
        "openvino",
        threads=first.threads,
        cores=first.cores,
        device="HETERO:" + ",".join(dict.fromkeys(targets.values())),
        targets=targets,
        plugins=plugins,
        properties={targets[device.name]: _properties(device, targets[device.name]) for device in job.devices},
        outputs=job.model.graph.outputs,
    )


def judge(job: Job, folder: Path, settings: Settings, answer: Answer) -> Verdict:
    """What OpenVINO made of the placement, by its own report."""
    owners = msgspec.json.decode((folder / "owners.json").read_bytes(), type=dict[str, str])
    differences = openvino_differences(
        job.model,
        job.device_of,
        settings.targets,
        owners,
        {name: int(number) for name, number in answer.nodes.items()},
        {target: frozenset(names) for target, names in answer.supported.items()},
    )
    lost = ["OpenVINO's HETERO plugin runs its subgraphs one after the other: devices do not overlap"]
    if answer.num_affinities_in_file < len(owners):
        lost.append(
            f"OpenVINO's files keep the affinities of {answer.num_affinities_in_file} of {len(owners)} nodes: run.py "
            "sets them again, by name"
        )
    for device in job.devices:
        target = settings.targets[device.name]
        if target in settings.plugins:
            lost.append(
                f"device {device.label}: {target} is OpenVINO's CPU plugin under another name, on the same cores"
            )
        elif device.backend != "openvino":
            lost.append(f"device {device.label}: {target} of OpenVINO runs its nodes, which {device.backend} ran")
    return Verdict(
        differences=differences,
        places={op: settings.targets[job.device_of[node]] for op, node in job.first_nodes.items()},
        device_of=_devices(job, settings),
        devices=settings.targets,
        lost=tuple(lost),
    )


def _devices(job: Job, settings: Settings) -> dict[str, str]:
    """By target, the device of the platform whose measurements tell its times."""
    found = {settings.targets[device.name]: device.name for device in job.devices if device.backend == "openvino"}
    on_cpu = [one for one in job.platform.devices if one.backend == "openvino" and one.target in ("", "CPU")]
    for target in settings.targets.values():
        if on_cpu and (target == "CPU" or target in settings.plugins):
            found.setdefault(target, on_cpu[0].name)
    return found


def _properties(device: Device, target: str) -> dict[str, str]:
    """Settings of a plugin: those of the device's own backend."""
    found: dict[str, str] = {"INFERENCE_PRECISION_HINT": device.precision}
    if target.partition("_")[0] == "CPU":
        found |= {
            "INFERENCE_NUM_THREADS": str(device.threads),
            "NUM_STREAMS": "1",
            "ENABLE_CPU_PINNING": "NO",  # run.py pins the process
        }
    return found | (dict(device.options) if device.backend == "openvino" else {})


def write_ir(model: Model, path: Path) -> dict[str, str]:
    """Write the model as OpenVINO's files, and return by OpenVINO's node the ONNX node that it belongs to.

    Nodes with the ONNX node's name or one of its output tensors belong to it. A converter makes further nodes for one
    ONNX node, such as the convolution without its bias and constants: these belong to what reads them. Results belong
    to what they read, and nodes that nothing connects to any other to the first node.

    Args:
        model: The model, imported or rewritten.
        path: The .xml file.
    """
    with TemporaryDirectory() as folder:
        source = Path(folder) / "model.onnx"
        onnx.save(model.standalone_proto(), source, save_as_external_data=True, size_threshold=1 << 20)
        nodes = convert_to_ir(source, path)
    makers = {tensor: node.name for node in model.proto.graph.node for tensor in node.output}
    owners: dict[str, str] = {}
    for node in nodes:
        made = [makers[tensor] for tensor in node.tensors if tensor in makers]
        if made or node.name in model.nodes:
            owners[node.name] = made[0] if made else node.name
    for node in reversed(nodes):
        found = [owners[reader] for reader in node.readers if reader in owners]
        if node.name not in owners and found:
            owners[node.name] = found[0]
    for node in nodes:
        for reader in node.readers:
            if reader not in owners and node.name in owners:
                owners[reader] = owners[node.name]
    first = model.proto.graph.node[0].name
    return {node.name: owners.get(node.name, first) for node in nodes}
