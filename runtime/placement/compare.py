"""Whether nodes run where the plan puts them, by the engine's own report, and why not."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping

import onnx

from hetsim.models.model import Model
from hetsim.runtime.placement.files import Difference

_RENAMED = re.compile(r"_token_\d+$")
"""What ONNX Runtime appends to the name of a node that it replaces by one of another layout."""


def onnxruntime_differences(
    model: Model,
    device_of: Mapping[str, str],
    provider_of: Mapping[str, str],
    found: Mapping[str, str],
    absent: Mapping[str, str],
    optimized: onnx.GraphProto,
) -> tuple[Difference, ...]:
    """The nodes that ONNX Runtime does not run by the provider of their device, in model order.

    Args:
        model: The model as it was exported.
        device_of: By node, its device.
        provider_of: By device, its provider.
        found: By node of ONNX Runtime's graph, the provider that runs it.
        absent: By device whose provider is not here, the reason.
        optimized: What ONNX Runtime's optimizations left of the model before it placed nodes.
    """
    found = {_RENAMED.sub("", name): provider for name, provider in found.items()} | dict(found)
    differences = []
    for node in model.proto.graph.node:
        device = device_of[node.name]
        planned, got = provider_of[device], found.get(node.name, "")
        if got == planned:
            continue
        if not got:
            reason = _vanished(model, node, optimized, found)
        elif device in absent:
            reason = absent[device]
        else:
            reason = f"{planned} did not take it"
        differences.append(
            Difference(node=node.name, kind=node.op_type, device=device, planned=planned, found=got, reason=reason)
        )
    return tuple(differences)


def _vanished(model: Model, node: onnx.NodeProto, optimized: onnx.GraphProto, found: Mapping[str, str]) -> str:
    """What became of a node that ONNX Runtime does not have: the first of its descendants that it has tells."""
    left = {tensor: other for other in optimized.node for tensor in other.output}
    constants = {tensor.name for tensor in optimized.initializer}
    readers = _readers(model)
    tensors = list(node.output)
    for tensor in tensors:  # grows: from the node's outputs to those of its descendants
        if tensor in constants:
            return "computed when the model is loaded: it is constant"
        if tensor in left:
            into = left[tensor]
            where = found.get(into.name, "")
            return f"fused into {into.op_type} {into.name!r}" + (f", which {where} runs" if where else "")
        tensors += [made for other in readers.get(tensor, []) for made in other.output if made not in tensors]
    return "removed: nothing reads what it makes after ONNX Runtime's optimizations"


def _readers(model: Model) -> dict[str, list[onnx.NodeProto]]:
    """By tensor, the nodes that read it."""
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in model.proto.graph.node:
        for tensor in node.input:
            readers.setdefault(tensor, []).append(node)
    return readers


def openvino_differences(
    model: Model,
    device_of: Mapping[str, str],
    target_of: Mapping[str, str],
    owners: Mapping[str, str],
    found: Mapping[str, int],
    supported: Mapping[str, frozenset[str]],
) -> tuple[Difference, ...]:
    """The nodes that OpenVINO does not report in a subgraph of their target alone, in model order.

    OpenVINO says in which subgraph a node runs, and not by which plugin the subgraph does. A subgraph all of whose
    nodes have one affinity runs there; nodes of a mixed one are differences.

    Args:
        model: The model as it was exported.
        device_of: By node, its device.
        target_of: By device, OpenVINO's name of it.
        owners: By OpenVINO's node, the node that it belongs to.
        found: By OpenVINO's node, the number of its subgraph.
        supported: By target, OpenVINO's nodes that its plugin says it can run.
    """
    parts: dict[int, set[str]] = {}
    for name, number in found.items():
        if name in owners:
            parts.setdefault(number, set()).add(target_of[device_of[owners[name]]])
    own: dict[str, list[str]] = {}
    for name, owner in owners.items():
        own.setdefault(owner, []).append(name)
    differences = []
    for node in model.proto.graph.node:
        names = own.get(node.name, [])
        device = device_of[node.name]
        planned = target_of[device]
        numbers = {found[name] for name in names if name in found}
        mixed = [number for number in numbers if parts[number] != {planned}]
        if numbers and not mixed:
            continue
        refused = [name for name in names if name not in supported[planned]]
        if not names:
            reason = "OpenVINO's converter replaced it by nodes of other names"
        elif mixed:
            reason = f"OpenVINO reports it in a subgraph with nodes of {' and '.join(sorted(parts[mixed[0]]))}"
        elif refused:
            reason = f"{planned} does not support {refused[0]!r}"
        else:
            reason = _unreported(model, node, {owners[name] for name in found if name in owners})
        where = "/".join(sorted(set().union(*(parts[number] for number in mixed)))) if mixed else ""
        differences.append(
            Difference(node=node.name, kind=node.op_type, device=device, planned=planned, found=where, reason=reason)
        )
    return tuple(differences)


def _unreported(model: Model, node: onnx.NodeProto, reported: Container[str]) -> str:
    """What is known of a node that OpenVINO does not report: the first of its descendants that it does."""
    readers = _readers(model)
    tensors = list(node.output)
    for tensor in tensors:  # grows, as above
        for other in readers.get(tensor, []):
            if other.name in reported:
                return f"fused with what follows, up to {other.name!r}, or computed when the model was compiled"
            tensors += [made for made in other.output if made not in tensors]
    return "fused into what it reads, or computed when the model was compiled"
