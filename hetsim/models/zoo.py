"""The zoo: twelve networks by name, with random weights, so that nothing must be downloaded.

Nine come from the onnx wheel, which ships their structure with every weight set to 0.02. With such weights most of
them give the uniform distribution for any input, and a wrong plan would pass every numeric check. Here each weight is
drawn according to its role, and the last layer is scaled so that the logits of the classes spread by about 2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper, version_converter

from hetsim.core.errors import ModelError
from hetsim.models.networks import (
    IR_VERSION,
    OPSET,
    centred_normal,
    mobilenet_v2,
    near_one,
    near_zero,
    resnet18,
    transformer,
)
from hetsim.models.reference import evaluate

RESIDUAL_SCALE = 0.3
"""Scale of the batch normalisations that end a residual branch. Training leaves such branches small compared with the
trunk (and starts with 0, Goyal et al., arXiv 1706.02677); at 1 a deep residual network amplifies rounding a
hundredfold."""

LOGIT_SPREAD = 2.0
"""Standard deviation of the logits over the classes."""

_FOLDER = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
_SHIPPED = (
    "bvlc_alexnet",
    "densenet121",
    "inception_v1",
    "inception_v2",
    "resnet50",
    "shufflenet",
    "squeezenet",
    "vgg19",
    "zfnet512",
)
_WRITTEN: dict[str, Callable[[int], onnx.ModelProto]] = {
    "resnet18": resnet18,
    "mobilenet_v2": mobilenet_v2,
    "transformer": transformer,
}


def zoo_names() -> tuple[str, ...]:
    """The names of the networks that :func:`build` can make."""
    return (*_SHIPPED, *_WRITTEN)


def build(name: str, *, seed: int = 0) -> onnx.ModelProto:
    """A network of the zoo with weights drawn with ``seed``: float32, static shapes, one input, one output.

    Raises:
        ModelError: If the zoo has no such network, or the installed onnx no longer ships it.
    """
    if name in _WRITTEN:
        proto = _WRITTEN[name](seed)
    elif name in _SHIPPED:
        proto = _shipped(name)
        _draw_weights(proto.graph, np.random.default_rng(seed))
    else:
        raise ModelError(f"the zoo has no network {name!r}; it has {', '.join(zoo_names())}")
    _spread_logits(proto, np.random.default_rng(seed))
    return proto


def _shipped(name: str) -> onnx.ModelProto:
    """The structure that onnx ships, tidied and converted to the current opset before weights are drawn."""
    path = _FOLDER / f"light_{name}.onnx"
    try:
        proto = onnx.load(path)
    except OSError as error:
        raise ModelError(
            f"cannot read {path} for the zoo's {name!r}: {error.strerror}; install an onnx that ships it (1.17 to 1.23)"
        ) from None
    graph = proto.graph
    constants = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in constants]
    del graph.input[:], graph.value_info[:]  # value_info without shapes makes shape inference fail
    graph.input.extend(inputs)
    proto.ir_version = IR_VERSION
    converted = version_converter.convert_version(proto, OPSET)
    _name_by_layer(converted.graph)
    return converted


def _readers(graph: onnx.GraphProto) -> dict[str, tuple[onnx.NodeProto, int]]:
    """By tensor, the first operator that reads it, and the number of the input."""
    readers: dict[str, tuple[onnx.NodeProto, int]] = {}
    for node in graph.node:
        for i, tensor in enumerate(node.input):
            readers.setdefault(tensor, (node, i))
    return readers


def _draw_weights(graph: onnx.GraphProto, rng: np.random.Generator) -> None:
    """Replace every ConstantOfShape and every float initializer that is read by a random initializer."""
    readers = _readers(graph)
    shapes: dict[str, tuple[int, ...]] = {}  # by weight, in the order of the file
    sizes = {t.name: numpy_helper.to_array(t) for t in graph.initializer if t.data_type == onnx.TensorProto.INT64}
    for tensor in graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT and tensor.name in readers:
            shapes[tensor.name] = tuple(tensor.dims)
    for node in graph.node:
        if node.op_type == "ConstantOfShape":
            shapes[node.output[0]] = tuple(sizes[node.input[0]].tolist())
    nodes = [node for node in graph.node if node.op_type != "ConstantOfShape"]
    read = {tensor for node in nodes for tensor in node.input}
    others = [tensor for tensor in graph.initializer if tensor.name in read and tensor.name not in shapes]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(others)
    for name, shape in shapes.items():
        graph.initializer.append(numpy_helper.from_array(_weight(name, shape, readers, rng), name))


def _weight(
    name: str,
    shape: tuple[int, ...],
    readers: dict[str, tuple[onnx.NodeProto, int]],
    rng: np.random.Generator,
) -> np.ndarray:
    """Values for a weight, by the use of its reader."""
    node, i = readers[name]
    while node.op_type in ("Reshape", "Unsqueeze"):  # only the weight's shape changes
        node, i = readers[node.output[0]]
    match node.op_type, i:
        case "Conv", 1:
            return centred_normal(rng, shape)
        case "Gemm", 1:
            transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
            return centred_normal(rng, shape, axis=-2 if transposed else -1)
        case "BatchNormalization", 1 if readers[node.output[0]][0].op_type == "Sum":
            return np.float32(RESIDUAL_SCALE) * near_one(rng, shape)
        case ("BatchNormalization", 1 | 4) | ("Mul", _):
            return near_one(rng, shape)
        case _:
            return near_zero(rng, shape)


def _spread_logits(proto: onnx.ModelProto, rng: np.random.Generator) -> None:
    """Scale the last layer's weights and bias so that the logits' standard deviation over the classes is about 2.

    The factor is a power of two, so it changes no mantissa and does not depend on how a sum was rounded.
    """
    graph = proto.graph
    last = graph.node[-1]
    while last.op_type in ("Reshape", "Softmax", "Flatten"):
        last = next(node for node in graph.node if last.input[0] in node.output)
    shape = [dim.dim_value for dim in graph.input[0].type.tensor_type.shape.dim]
    image = rng.standard_normal(shape, dtype=np.float32)
    logits = evaluate(proto, {graph.input[0].name: image}, last.output)[last.output[0]]
    factor = np.float32(2.0 ** round(math.log2(LOGIT_SPREAD / logits.std())))
    layer = next(node for node in reversed(graph.node) if node.op_type in ("Conv", "Gemm"))
    weights = {tensor.name: tensor for tensor in graph.initializer}
    reshaped = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "Reshape"}
    for name in layer.input[1:]:
        tensor = weights[reshaped.get(name, name)]
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * factor, tensor.name))


def _name_by_layer(graph: onnx.GraphProto) -> None:
    """Name each operator after its weights or the layer before it; in the file they are n0, n1, ..."""
    made = {tensor for node in graph.node if node.op_type == "ConstantOfShape" for tensor in node.output}
    made.update(tensor.name for tensor in graph.initializer)
    layer: dict[str, str] = {}  # by tensor
    taken: set[str] = set()
    for node in graph.node:
        weights = [tensor for tensor in node.input[1:2] if tensor in made and node.op_type in ("Conv", "Gemm")]
        if weights:
            base = name = weights[0].removeprefix("gpu_0/").removesuffix("_w_0")
        else:
            base = next((layer[tensor] for tensor in node.input if tensor in layer), "")
            name = f"{base}_{node.op_type.lower()}".strip("_")
        layer.update(dict.fromkeys(node.output, base))
        node.name = name
        for i in range(2, len(graph.node)):
            if node.name not in taken:
                break
            node.name = f"{name}_{i}"
        taken.add(node.name)
