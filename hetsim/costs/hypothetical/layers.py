"""Convolutions and matrix products as channels on an array of multipliers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx

from hetsim.core.sources import ShapeClass
from hetsim.models.model import Model


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """Channels of an operator that multiplies and adds.

    Attributes:
        groups: Number of independent groups of channels; a depthwise convolution has one for each channel.
        in_channels: Channels that each group reads; at least 1.
        out_channels: Channels that each group writes; at least 1.
        shape: Its class.
    """

    groups: int
    in_channels: int
    out_channels: int
    shape: ShapeClass = "spatial"

    def utilisation(self, input_lanes: int, output_lanes: int) -> float:
        """The utilised fraction of an array's multipliers, above 0 and at most 1.

        The array processes a tile of ``input_lanes`` by ``output_lanes`` channels at a time. Small groups share a tile
        along its diagonal. Multipliers off the diagonal and those that the last tile does not fill are idle.

        >>> Layer(groups=1, in_channels=3, out_channels=64).utilisation(16, 16)  # 3 of 16 lanes
        0.1875
        >>> Layer(groups=32, in_channels=1, out_channels=1).utilisation(16, 16)  # 16 of 256 in each tile
        0.0625
        """
        shared = max(1, min(self.groups, input_lanes // self.in_channels, output_lanes // self.out_channels))
        across, down = _tiles(shared * self.in_channels, input_lanes), _tiles(shared * self.out_channels, output_lanes)
        num_tiles = _tiles(self.groups, shared) * across * down
        return self.groups * self.in_channels * self.out_channels / (num_tiles * input_lanes * output_lanes)


def layers(model: Model) -> Mapping[str, Layer]:
    """The layers of a model by operator, without operators that do not multiply and add."""
    shapes = {name: tuple(weight.dims) for name, weight in model.weights.items()}
    for name, part in model.weight_slices.items():
        whole = shapes[part.source]
        shapes[name] = (*whole[: part.axis], part.stop - part.start, *whole[part.axis + 1 :])
    shapes |= {tensor.name: tensor.shape for tensor in model.graph.tensors.values()}
    found = ((op.name, _layer(model.nodes[op.name], shapes)) for op in model.graph.ops if op.name in model.nodes)
    return {name: layer for name, layer in found if layer is not None}


def _layer(node: onnx.NodeProto, shapes: Mapping[str, tuple[int, ...]]) -> Layer | None:
    settings = {attribute.name: attribute.i for attribute in node.attribute}
    strides = [size for attribute in node.attribute if attribute.name == "strides" for size in attribute.ints]
    if node.op_type in ("Conv", "ConvTranspose"):
        groups, weights = settings.get("group", 1), shapes[node.input[1]]
        num_in, num_out = weights[1], weights[0] // groups  # [out, in of a group, ...]
        if node.op_type == "ConvTranspose":  # [in, out of a group, ...]
            num_in, num_out = weights[0] // groups, weights[1]
        shape = _shape_class(groups, num_in, weights[2:], strides)
        return Layer(groups=groups, in_channels=num_in, out_channels=num_out, shape=shape)
    if node.op_type in ("Gemm", "MatMul"):
        left, made = shapes[node.input[0]], shapes[node.output[0]]
        inner = left[0 if node.op_type == "Gemm" and settings.get("transA", 0) else -1]
        vector = len(shapes[node.input[1]]) == 1  # a product with a vector has one element for each row
        return Layer(
            groups=1, in_channels=max(inner, 1), out_channels=1 if vector else max(made[-1], 1), shape="product"
        )
    return None


def _shape_class(groups: int, in_channels: int, kernel: Sequence[int], strides: Sequence[int]) -> ShapeClass:
    if groups > 1 and in_channels == 1:
        return "depthwise"
    if in_channels <= 4:
        return "shallow"
    if any(stride > 1 for stride in strides):
        return "strided"
    return "pointwise" if all(size == 1 for size in kernel) else "spatial"


def _tiles(channels: int, lanes: int) -> int:
    return -(-channels // lanes)
