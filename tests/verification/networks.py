"""Small random networks of mixed kinds: images, tokens, matrices and integers, from a seed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from hetsim.models.importer import import_model
from hetsim.models.model import Model

OPSET = 17
_UNARY = (
    *("Relu", "Sigmoid", "Tanh", "LeakyRelu", "HardSwish", "Elu", "Selu", "Softsign", "Erf", "Abs", "Neg", "Exp"),
    *(
        "Sin",
        "Cos",
        "Floor",
        "Ceil",
        "Round",
        "Sign",
        "Atan",
        "HardSigmoid",
        "Identity",
        "Reciprocal",
        "ThresholdedRelu",
    ),
)
_BINARY = ("Add", "Sub", "Mul", "Max", "Min", "Div")
_INTEGER = ("Add", "Sub", "Mul", "Max", "Min")


class _Network:
    """A graph that grows node by node; values are known by name and shape."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.images: list[tuple[str, tuple[int, ...]]] = []
        self.matrices: list[tuple[str, tuple[int, ...]]] = []
        self.integers: list[tuple[str, tuple[int, ...]]] = []
        self.left: dict[str, None] = {}  # made and not read yet

    def add(self, kind: str, inputs: Sequence[str], num_outputs: int = 1, **attributes: object) -> list[str]:
        number = len(self.nodes)
        outputs = [f"t{number}_{i}" if i else f"t{number}" for i in range(num_outputs)]
        self.nodes.append(helper.make_node(kind, inputs, outputs, name=f"{kind.lower()}{number}", **attributes))
        for name in inputs:
            self.left.pop(name, None)
        self.left |= dict.fromkeys(outputs)
        return outputs

    def weight(self, array: np.ndarray) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def normal(self, *shape: int, scale: float = 1.0) -> str:
        return self.weight((self.rng.standard_normal(shape) * scale).astype(np.float32))

    def draw(self, values: list[tuple[str, tuple[int, ...]]]) -> tuple[str, tuple[int, ...]]:
        """A value, more likely one of the latest."""
        return values[max(int(self.rng.integers(len(values))), int(self.rng.integers(len(values))))]

    def pick(self, names: Sequence[str]) -> str:
        return str(names[int(self.rng.integers(len(names)))])


def random_network(seed: int, *, num_ops: int = 14) -> Model:
    """The network of a seed: ``x`` is an image, ``ids`` are four token numbers that may be 0 or 1."""
    net = _Network(seed)
    net.images.append(("x", (1, 3, 8, 8)))
    (embedded,) = net.add("Gather", [net.normal(16, 12), "ids"])
    net.matrices.append((embedded, (4, 12)))
    net.integers.append(("ids", (4,)))
    steps = [_conv, _conv, _pool, _unary, _unary, _binary, _matmul, _matmul, _softmax, _normalize, _reduce, _shape]
    steps += [_integer, _integer, _arg, _cast, _top, _select, _flatten, _concat]
    while len(net.nodes) < num_ops:
        steps[int(net.rng.integers(len(steps)))](net)
    return import_model(_proto(net), name=f"network {seed}")


def _proto(net: _Network) -> onnx.ModelProto:
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8]),
        helper.make_tensor_value_info("ids", TensorProto.INT64, [4]),
    ]
    used = {name for node in net.nodes for name in node.input}
    outputs = [onnx.ValueInfoProto(name=name) for name in net.left]
    graph = helper.make_graph(
        net.nodes, "random", [value for value in inputs if value.name in used], outputs, net.weights
    )
    proto = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", OPSET)])
    inferred = onnx.shape_inference.infer_shapes(proto)
    types = {value.name: value.type for value in (*inferred.graph.value_info, *inferred.graph.output)}
    for output in proto.graph.output:
        output.type.CopyFrom(types[output.name])
    return proto


def _conv(net: _Network) -> None:
    name, (_, channels, height, width) = net.draw(net.images)
    makes, size = int(net.rng.choice([4, 6, 8])), int(net.rng.choice([1, 3]))
    weights = net.normal(makes, channels, size, size, scale=(channels * size * size) ** -0.5)
    bias = net.normal(makes, scale=0.1)
    (made,) = net.add("Conv", [name, weights, bias], kernel_shape=[size, size], pads=[size // 2] * 4)
    net.images.append((made, (1, makes, height, width)))


def _pool(net: _Network) -> None:
    name, (_, channels, height, width) = net.draw(net.images)
    if min(height, width) < 2:
        return
    kind = net.pick(["MaxPool", "AveragePool"])
    (made,) = net.add(kind, [name], kernel_shape=[2, 2], strides=[2, 2])
    net.images.append((made, (1, channels, height // 2, width // 2)))


def _floats(net: _Network) -> list[tuple[str, tuple[int, ...]]]:
    return net.images if net.rng.random() < 0.5 else net.matrices


def _unary(net: _Network) -> None:
    values = _floats(net)
    name, shape = net.draw(values)
    kind = net.pick(_UNARY)
    if kind == "Exp":
        (name,) = net.add("Tanh", [name])  # bounded, as networks are that use it
    if kind == "Reciprocal":
        (name,) = net.add("Exp", net.add("Tanh", [name]))
    values.append((net.add(kind, [name])[0], shape))


def _binary(net: _Network) -> None:
    values = _floats(net)
    name, shape = net.draw(values)
    kind = net.pick(_BINARY)
    same = [other for other, its_shape in values if its_shape == shape and other != name]
    other = net.pick(same) if same and net.rng.random() < 0.7 else net.normal(*shape[1:])
    if kind == "Div":
        (other,) = net.add("Exp", net.add("Tanh", [other])) if not other.startswith("w") else (net.normal(1),)
    values.append((net.add(kind, [name, other])[0], shape))


def _matmul(net: _Network) -> None:
    name, (rows, features) = net.draw(net.matrices)
    makes = int(net.rng.choice([5, 8, 12]))
    weights = net.normal(features, makes, scale=features**-0.5)
    gemm = net.rng.random() < 0.4
    made = net.add("Gemm", [name, weights, net.normal(makes)]) if gemm else net.add("MatMul", [name, weights])
    net.matrices.append((made[0], (rows, makes)))


def _softmax(net: _Network) -> None:
    name, shape = net.draw(net.matrices)
    net.matrices.append((net.add(net.pick(["Softmax", "LogSoftmax"]), [name], axis=-1)[0], shape))


def _normalize(net: _Network) -> None:
    if net.rng.random() < 0.5:
        name, shape = net.draw(net.matrices)
        if shape[-1] < 3:
            return
        scales = [net.normal(shape[-1]), net.normal(shape[-1])]
        net.matrices.append((net.add("LayerNormalization", [name, *scales], axis=-1)[0], shape))
        return
    name, shape = net.draw(net.images)
    if shape[2] * shape[3] < 4:
        return
    scales = [net.normal(shape[1]), net.normal(shape[1])]
    net.images.append((net.add("InstanceNormalization", [name, *scales])[0], shape))


def _reduce(net: _Network) -> None:
    kind = net.pick(["ReduceMean", "ReduceL2", "ReduceSumSquare", "ReduceL1"])
    if net.rng.random() < 0.5:
        name, (rows, _) = net.draw(net.matrices)
        net.matrices.append((net.add(kind, [name], axes=[1], keepdims=1)[0], (rows, 1)))
    else:
        name, shape = net.draw(net.images)
        (made,) = net.add(kind, [name], axes=[2, 3], keepdims=0)
        net.matrices.append((made, (1, shape[1])))


def _shape(net: _Network) -> None:
    name, (rows, features) = net.draw(net.matrices)
    if net.rng.random() < 0.5:
        net.matrices.append((net.add("Transpose", [name], perm=[1, 0])[0], (features, rows)))
    else:
        name, shape = net.draw(net.images)
        made = (1, shape[1], shape[3], shape[2])
        net.images.append((net.add("Transpose", [name], perm=[0, 1, 3, 2])[0], made))


def _flatten(net: _Network) -> None:
    name, shape = net.draw(net.images)
    if shape[1] * shape[2] * shape[3] <= 512:
        net.matrices.append((net.add("Flatten", [name])[0], (1, shape[1] * shape[2] * shape[3])))


def _concat(net: _Network) -> None:
    name, shape = net.draw(net.images)
    same = [other for other, its_shape in net.images if its_shape[2:] == shape[2:]]
    other = net.pick(same)
    channels = dict(net.images)[other][1]
    if other != name:
        net.images.append((net.add("Concat", [name, other], axis=1)[0], (1, shape[1] + channels, *shape[2:])))


def _integer(net: _Network) -> None:
    name, shape = net.draw(net.integers)
    kind = net.pick(_INTEGER)
    (other,) = [net.weight(net.rng.integers(1, 5, shape))]
    net.integers.append((net.add(kind, [name, other])[0], shape))


def _arg(net: _Network) -> None:
    name, (rows, _) = net.draw(net.matrices)
    if net.rng.random() < 0.5:
        (name,) = net.add("Sign", [name])  # equal maxima, of which the first counts
    net.integers.append((net.add("ArgMax", [name], axis=1, keepdims=0)[0], (rows,)))


def _cast(net: _Network) -> None:
    name, shape = net.draw(net.matrices)
    (rounded,) = net.add("Floor", [name])
    (number,) = net.add("Cast", net.add("Tanh", [rounded]), to=TensorProto.INT64)
    net.integers.append((number, shape))


def _top(net: _Network) -> None:
    name, (rows, features) = net.draw(net.matrices)
    if features < 3:
        return
    size = net.weight(np.array([3]))
    values, places = net.add("TopK", [name, size], num_outputs=2, axis=1)
    net.matrices.append((values, (rows, 3)))
    net.integers.append((places, (rows, 3)))


def _select(net: _Network) -> None:
    name, shape = net.draw(net.matrices)
    (is_more,) = net.add("Greater", [name, net.normal(1)])
    net.matrices.append((net.add("Where", [is_more, name, net.normal(1)])[0], shape))
