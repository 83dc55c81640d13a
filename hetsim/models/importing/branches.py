"""Branches that are decided: an If whose condition is known gives way to the branch that is taken."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import numpy_helper, shape_inference

from hetsim.core.errors import ModelError
from hetsim.models.importing.normal import drop_dead, replace
from hetsim.models.importing.shapes import is_static, without_weights
from hetsim.models.nodes import is_random, names_made, names_read, rename_tensors
from hetsim.models.reference import evaluate


def inline_decided(proto: onnx.ModelProto) -> None:
    """Replace each If whose condition follows from constants and known shapes by the operators of its branch."""
    while conditions := _known_conditions(proto):
        nodes: list[onnx.NodeProto] = []
        for node in proto.graph.node:
            if _is_decided(node, conditions):
                nodes += _branch(proto.graph, node, taken=conditions[node.input[0]])
            else:
                nodes.append(_copy(node))
        replace(proto.graph.node, nodes)
        drop_dead(proto.graph)


def _is_decided(node: onnx.NodeProto, conditions: Mapping[str, bool]) -> bool:
    return node.op_type == "If" and not node.domain and node.input[0] in conditions


def _known_conditions(proto: onnx.ModelProto) -> dict[str, bool]:
    """By condition of an If that follows from constants and known shapes, its value."""
    graph = proto.graph
    wanted = {node.input[0] for node in graph.node if node.op_type == "If" and not node.domain}
    if not wanted:
        return {}
    known = {tensor.name for tensor in graph.initializer}
    shapes = _known_shapes(proto)
    part = onnx.ModelProto(ir_version=proto.ir_version, opset_import=proto.opset_import, functions=proto.functions)
    part.graph.name = "conditions"
    for node in graph.node:
        if node.op_type in ("Shape", "Size") and not node.domain and node.input[0] in shapes:
            part.graph.initializer.append(_shape_value(node, shapes[node.input[0]]))
        elif not is_random(node) and known.issuperset(names_read(node)):
            part.graph.node.append(node)
        else:
            continue
        known.update(filter(None, node.output))
    found = sorted(wanted & known)
    if not found:
        return {}
    part.graph.initializer.extend(graph.initializer)
    part.graph.output.extend(onnx.ValueInfoProto(name=name) for name in found)
    try:
        values = evaluate(part, {})
    except ModelError:
        return {}  # whoever runs the model says why
    return {name: bool(np.all(values[name])) for name in found}


def _known_shapes(proto: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    try:
        inferred = shape_inference.infer_shapes(without_weights(proto), data_prop=True).graph
    except (shape_inference.InferenceError, ValueError, RuntimeError):
        return {}
    return {
        value.name: tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
        for value in (*inferred.input, *inferred.value_info, *inferred.output)
        if is_static(value.type)
    }


def _shape_value(node: onnx.NodeProto, shape: tuple[int, ...]) -> onnx.TensorProto:
    limits = {attribute.name: attribute.i for attribute in node.attribute}
    sizes = np.array(shape[slice(limits.get("start"), limits.get("end"))], dtype=np.int64)
    return numpy_helper.from_array(sizes if node.op_type == "Shape" else sizes.prod(dtype=np.int64), node.output[0])


def _branch(graph: onnx.GraphProto, node: onnx.NodeProto, *, taken: bool) -> list[onnx.NodeProto]:
    """The operators of the branch that an If takes; its constants move into the graph."""
    wanted = "then_branch" if taken else "else_branch"
    branch = next(attribute.g for attribute in node.attribute if attribute.name == wanted)
    prefix = node.output[0]
    own = {tensor.name for tensor in branch.initializer} | {name for one in branch.node for name in names_made(one)}
    new = {name: f"{prefix}/{name}" for name in own}
    for output, value in zip(node.output, branch.output, strict=True):
        if value.name in own and output:
            new[value.name] = output
    for tensor in branch.initializer:
        constant = graph.initializer.add()
        constant.CopyFrom(tensor)
        constant.name = new[tensor.name]
    nodes = []
    for one in branch.node:
        copy = _copy(one)
        rename_tensors(copy, lambda name: new.get(name, name))
        copy.name = f"{node.name}/{one.name}" if one.name else ""
        nodes.append(copy)
    for output, value in zip(node.output, branch.output, strict=True):
        if output and new.get(value.name) != output:  # an outer tensor, or one that is two outputs
            source = new.get(value.name, value.name)
            nodes.append(onnx.helper.make_node("Identity", [source], [output], name=f"{node.name}/{output}"))
    return nodes


def _copy(node: onnx.NodeProto) -> onnx.NodeProto:
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    return copy
