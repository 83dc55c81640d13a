"""Which integers are data, and which may decide shapes or amounts of memory, so that not any may be tried."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import onnx

from hetsim.models.nodes import names_read
from hetsim.models.ranges.facts import kinds
from hetsim.models.ranges.interval import is_integer

BY_ELEMENT = frozenset(
    kinds(
        "Abs Acos Acosh Add And Asin Asinh Atan Atanh BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor "
        "Cast Ceil Celu Clip Cos Cosh Div Elu Equal Erf Exp Floor Gelu Greater GreaterOrEqual HardSigmoid "
        "HardSwish Identity IsInf IsNaN LeakyRelu Less LessOrEqual Log Max Mean Min Mish Mod Mul Neg Not Or "
        "PRelu Pow Reciprocal Relu Round Selu Shrink Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Sub Sum "
        "Swish Tan Tanh ThresholdedRelu Where Xor"
    )
)
"""Operators that compute each element of their output from one element of each input."""

_ALL_DATA = BY_ELEMENT | frozenset(
    kinds(
        "Concat ConvInteger DequantizeLinear DynamicQuantizeLinear Einsum Gather GatherElements GatherND Gemm "
        "MatMul MatMulInteger QLinearConv QLinearMatMul QuantizeLinear ReverseSequence RoiAlign Scatter "
        "ScatterElements ScatterND"
    )
)
"""Operators all of whose integers are data or indices."""

_FIRST_IS_DATA = frozenset(
    kinds(
        "ArgMax ArgMin CenterCropPad CumSum DepthToSpace Expand Flatten GRU Hardmax LSTM MaxPool OneHot Pad "
        "RNN ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd "
        "ReduceSum ReduceSumSquare Reshape Resize Shape Size Slice SpaceToDepth Split Squeeze Tile TopK "
        "Transpose Trilu Unsqueeze Upsample"
    )
)
"""Operators whose first input is data, while other integers may decide shapes or axes."""

_BY_FLOATS = frozenset({"OneHot", "Range", "Resize", "Upsample"})
"""Operators in which floats may decide shapes, too."""


def deciding(nodes: Sequence[onnx.NodeProto], dtype_of: Callable[[str], str | None]) -> frozenset[str]:
    """The tensors from which shapes or amounts of memory may be computed, directly or by other nodes.

    Args:
        nodes: Nodes of a model in topological order.
        dtype_of: NumPy's name of a tensor's type; empty if it is not known, None for a constant.
    """
    found: set[str] = set()
    for node in reversed(nodes):
        if any(name in found for name in node.output):
            found.update(name for name in names_read(node) if dtype_of(name) is not None)
            continue
        for name in _deciding(node):
            dtype = dtype_of(name)
            if dtype is not None and (is_integer(dtype) or not dtype or node.op_type in _BY_FLOATS):
                found.add(name)
    return frozenset(found)


def _deciding(node: onnx.NodeProto) -> Sequence[str]:
    if node.op_type in _ALL_DATA and node.domain in ("", "ai.onnx"):
        return ()
    if node.op_type in (_FIRST_IS_DATA | _BY_FLOATS) - {"Range"} and node.domain in ("", "ai.onnx"):
        return [name for name in node.input[1:] if name]
    return names_read(node)
