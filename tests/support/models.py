"""Small ONNX models and platforms of make-believe devices for the runtime's tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, parser

from hetsim.core.plan import Plan, Segment
from hetsim.core.platform import Device, Platform
from hetsim.models.importer import import_model
from hetsim.models.model import Model


def fork_join(num_features: int = 8, num_rows: int = 4) -> Model:
    """``stem`` feeds ``left`` and ``right``, whose product ``right2`` and ``left`` meet in ``join``; 5 operators."""
    weights = np.random.default_rng(1).standard_normal((num_features, num_features)).astype(np.float32)
    nodes = [
        helper.make_node("Abs", ["x"], ["s"], name="stem"),
        helper.make_node("Neg", ["s"], ["l"], name="left"),
        helper.make_node("MatMul", ["s", "w"], ["r"], name="right"),
        helper.make_node("Sigmoid", ["r"], ["r2"], name="right2"),
        helper.make_node("Sub", ["l", "r2"], ["y"], name="join"),
    ]
    shape = [num_rows, num_features]
    graph = helper.make_graph(
        nodes,
        "fork join",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(weights, "w")],
    )
    return import_model(_proto(graph), name="fork_join")


def chain(num_ops: int, num_elements: int = 16) -> Model:
    """Neg and Abs in turn: ``op0``, ``op1``, ... on tensors ``t0`` (the input), ``t1``, ..."""
    nodes = [
        helper.make_node("Neg" if i % 2 == 0 else "Abs", [f"t{i}"], [f"t{i + 1}"], name=f"op{i}")
        for i in range(num_ops)
    ]
    values = [helper.make_tensor_value_info(t, TensorProto.FLOAT, [num_elements]) for t in ("t0", f"t{num_ops}")]
    return import_model(_proto(helper.make_graph(nodes, "chain", values[:1], values[1:])), name="chain")


def _proto(graph: onnx.GraphProto) -> onnx.ModelProto:
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def fake_platform(*names: str, **options: str) -> Platform:
    """Make-believe devices, not pinned to any core, that behave as ``options`` say."""
    names = names or ("cpu", "npu")
    return Platform(
        name="make-believe",
        devices=tuple(
            Device(
                name=name, kind="cpu" if name == "cpu" else "npu", nature="emulated", backend="fake", options=options
            )
            for name in names
        ),
    )


def make_plan(model: Model, **queues: list[str]) -> Plan:
    """A plan from words: ``cpu=["stem left", "join"]`` gives the CPU two segments."""
    return Plan(
        model=model.graph.name,
        model_hash=model.hash,
        queues={
            device: tuple(Segment(device, tuple(segment.split())) for segment in queue)
            for device, queue in queues.items()
        },
    )


FLOAT = TensorProto.FLOAT


def weight(name: str, *shape: int) -> onnx.TensorProto:
    values = np.random.default_rng(len(name)).standard_normal(shape, dtype=np.float32)
    return numpy_helper.from_array(values, name)


def model_of(
    nodes: Sequence[onnx.NodeProto],
    *,
    shape: Sequence[int | str | None] | None = (1, 4, 6, 6),
    weights: Sequence[onnx.TensorProto] = (),
    output: str = "y",
    opset: int = 17,
    dtype: int = FLOAT,
) -> onnx.ModelProto:
    """A model with one input ``x`` and one output of unstated shape."""
    inputs = [helper.make_tensor_value_info("x", dtype, shape)]
    outputs = [helper.make_tensor_value_info(output, FLOAT, None)]
    graph = helper.make_graph(nodes, "g", inputs, outputs, list(weights))
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", opset)])


def small_net() -> onnx.ModelProto:
    """Conv, batch normalisation, rectifier, and a product with a constant that has to be computed first."""
    statistics = [numpy_helper.from_array(np.full(8, v, np.float32), f"bn{i}") for i, v in enumerate((2, 1, 0.5, 1))]
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], "conv", pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", ["a", "bn0", "bn1", "bn2", "bn3"], ["b"], "bn"),
        helper.make_node("Relu", ["b"], ["c"]),
        helper.make_node("Relu", ["b"], ["unused"]),
        helper.make_node("Add", ["one", "one"], ["two"]),
        helper.make_node("Mul", ["c", "two"], ["y"]),
    ]
    one = numpy_helper.from_array(np.ones((1, 8, 1, 1), np.float32), "one")
    return model_of(nodes, weights=[weight("w", 8, 4, 3, 3), *statistics, one])


RELU = [helper.make_node("Relu", ["x"], ["y"])]


def images(*, size: int = 8, channels: int = 4) -> Model:
    """Two convolutions of one shape with a ReLU between them, a third of another shape, and a pooling."""

    def weights(name: str, *shape: int) -> onnx.TensorProto:
        return helper.make_tensor(name, TensorProto.FLOAT, shape, [0.5] * (shape[0] * shape[1] * shape[2] * shape[3]))

    nodes = [
        helper.make_node("Conv", ["x", "w1", "bias"], ["a"], name="first", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"], name="relu"),
        helper.make_node("Conv", ["b", "w2"], ["c"], name="second", auto_pad="SAME_UPPER"),
        helper.make_node("Conv", ["c", "w3"], ["d"], name="third", kernel_shape=[1, 1]),
        helper.make_node("GlobalAveragePool", ["d"], ["y"], name="pool"),
    ]
    square = [weights(name, channels, channels, 3, 3) for name in ("w1", "w2")]
    constants = [*square, weights("w3", channels, channels, 1, 1)]
    constants.append(helper.make_tensor("bias", TensorProto.FLOAT, (channels,), [0.5] * channels))
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, channels, size, size))
    made = helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, channels, 1, 1))
    graph = helper.make_graph(nodes, "images", [value], [made], constants)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return import_model(proto, name="images")


def parsed(text: str, *, opset: int = 17, extra: str = "") -> onnx.ModelProto:
    """The model of a graph in ONNX's text format; ``extra`` imports further domains."""
    return parser.parse_model(f'<ir_version: 8, opset_import: ["": {opset}{extra}]> {text}')
