"""Small shapes in which an operator computes the same as in its own.

A size becomes a small size that depends on it alone, so that sizes that were equal stay equal, and 1 stays 1. Only
operators whose meaning does not depend on sizes get small shapes; their weights are cut or repeated to fit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx

from hetsim.models.ranges.facts import Facts, kinds
from hetsim.models.ranges.interval import is_float
from hetsim.models.ranges.sizes import BY_ELEMENT

Shape = tuple[int, ...]

_BY_AXES = frozenset(
    kinds(
        "ArgMax ArgMin BatchNormalization Concat Flatten Gather Gemm GlobalAveragePool GlobalMaxPool Hardmax "
        "InstanceNormalization LRN LayerNormalization LogSoftmax MatMul ReduceL1 ReduceL2 ReduceLogSumExp ReduceMax "
        "ReduceMean ReduceMin ReduceSum ReduceSumSquare Softmax Transpose"
    )
)
_BY_WINDOW = frozenset(kinds("AveragePool Conv ConvTranspose LpPool MaxPool"))

_MOST = 16
_SIZES_BY_RANK = {0: 1, 1: 250, 2: 17, 3: 8}


def small_shapes(facts: Facts) -> tuple[onnx.NodeProto, list[Shape | None]]:
    """The node with attributes that fit, and a shape for each of its inputs; its own where no small ones are known."""
    node, shapes = facts.node, list(facts.shapes)
    if node.domain not in ("", "ai.onnx"):
        return node, shapes
    floats = all(is_float(dtype) or dtype == "bool" for dtype in facts.dtypes[:1])
    if node.op_type in BY_ELEMENT:
        rank = max((len(shape) for shape in shapes if shape is not None), default=0)
        base = _SIZES_BY_RANK.get(rank, 5)
        return node, [_mapped(shape, lambda size: base + size % 2) for shape in shapes]
    if node.op_type in _BY_AXES and floats:
        return node, [_mapped(shape, _cut) for shape in shapes]
    if node.op_type in _BY_WINDOW and floats:
        return _windowed(facts)
    return node, shapes


def fit(array: np.ndarray, shape: Shape) -> np.ndarray:
    """An array cut or repeated along each axis."""
    for axis, size in enumerate(shape):
        if array.shape[axis] != size:
            array = np.take(array, range(size), axis=axis, mode="wrap")
    return array


def _mapped(shape: Shape | None, size_of: Callable[[int], int]) -> Shape | None:
    return None if shape is None else tuple(size if size <= 1 else size_of(size) for size in shape)


def _cut(size: int) -> int:
    return size if size <= _MOST else _MOST + 1 + size % 2


def _windowed(facts: Facts) -> tuple[onnx.NodeProto, list[Shape | None]]:
    """Shapes of pictures with as few windows as show borders, the last, incomplete window among them."""
    shapes, node = list(facts.shapes), onnx.NodeProto()
    node.CopyFrom(facts.node)
    data, weight = shapes[0], shapes[1] if len(shapes) > 1 else None
    if data is None or len(data) < 3:
        return facts.node, shapes
    if facts.attribute("output_shape") is not None or facts.attribute("storage_order", 0):
        return facts.node, shapes
    channels = data[1]
    if weight is not None:
        groups = int(facts.attribute("group", 1))  # type: ignore[call-overload]
        few, each = min(groups, 3), (min(weight[0] // groups, _MOST + 1), min(weight[1], _MOST + 1))
        shapes[1] = (few * each[0], each[1], *weight[2:])
        inward, outward = (each[1], each[0]) if node.op_type == "Conv" else (each[0], each[1])
        channels = few * inward
        if len(shapes) > 2 and shapes[2] is not None:
            shapes[2] = (few * outward,)
        for attribute in node.attribute:
            if attribute.name == "group":
                attribute.i = few
    else:
        channels = min(channels, 3)
    window = facts.attribute("kernel_shape") or (weight[2:] if weight is not None else ())
    shapes[0] = (min(data[0], 2), channels, *_picture(facts, data[2:], window))  # type: ignore[arg-type]
    return node, shapes


def _picture(facts: Facts, sizes: Shape, window: Sequence[int]) -> Shape:
    rank = len(sizes)
    strides = facts.attribute("strides") or (1,) * rank
    dilations = facts.attribute("dilations") or (1,) * rank
    pads = facts.attribute("pads") or (0,) * (2 * rank)
    found = []
    for i, size in enumerate(sizes):
        reach = (window[i] - 1) * dilations[i] + 1  # type: ignore[index]
        least = reach + 2 * strides[i] + pads[i] + pads[i + rank] + 2  # type: ignore[index]
        found.append(size - max(0, (size - least) // strides[i]) * strides[i])  # type: ignore[index]
    return tuple(found)
