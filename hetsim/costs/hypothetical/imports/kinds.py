"""Operator types under the names that different vendors give them."""

from __future__ import annotations

import re

_SAME: tuple[tuple[str, ...], ...] = (
    ("conv", "conv2d", "convolution", "groupconvolution", "depthwiseconv2d", "depthwiseconvolution", "qlinearconv",
     "fusedconv", "nhwcconv", "convnd"),
    ("convtranspose", "transposeconv", "transposeconv2d", "deconvolution"),
    ("gemm", "matmul", "fullyconnected", "innerproduct", "linear", "addmm", "fusedgemm", "fusedmatmul", "batchmatmul"),
    ("add", "sum", "elementwiseadd", "eltwise", "qlinearadd"),
    ("mul", "elementwisemultiply", "multiply"),
    ("maxpool", "poolmax2d", "maxpool2d", "maxpooling"),
    ("averagepool", "globalaveragepool", "poolavg2d", "averagepool2d", "avgpool", "pooling", "mean", "reducemean",
     "qlinearglobalaveragepool"),
    ("concat", "concatenation", "cat"),
    ("relu", "reluminmax", "clip", "relu6", "clamp"),
    ("reshape", "flatten", "squeeze", "unsqueeze", "view"),
    ("softmax",),
    ("input", "output", "transpose", "permute", "reorder", "convert", "convertlayout", "memcpy", "memcpyfromhost",
     "memcpytohost", "reorderinput", "reorderoutput", "quantize", "dequantize", "quantizelinear", "dequantizelinear",
     "cast", "parameter", "result"),
)  # fmt: skip
_CLASS = {name: names[0] for names in _SAME for name in names}

INSERTED = "input"
"""The class of what compilers insert where tensors come and go: layouts, types, copies."""

FOLDED = frozenset(
    ("Relu", "Clip", "LeakyRelu", "PRelu", "HardSwish", "HardSigmoid", "Sigmoid", "Mul", "BatchNormalization",
     "Dropout", "Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "QuantizeLinear", "DequantizeLinear", "Cast")
)  # fmt: skip
"""ONNX operator types that compilers fuse into the operator which makes their input."""

ADDING = frozenset(("Add", "Sub", "Mul", "Div"))
"""Types that compilers fuse likewise if the other operand is a constant."""

WITHOUT_TYPE = frozenset(("subgraph", "fused"))
"""Classes of kernels of several operators whose type tells nothing about those."""


def kind_class(kind: str) -> str:
    """One name for the same operator type at different vendors; empty for an empty text.

    >>> kind_class("CONV_2D") == kind_class("Conv2d") == kind_class("Conv")
    True
    >>> kind_class("LRN")
    'lrn'
    """
    plain = re.sub(r"[^a-z0-9]", "", kind.lower())
    return _CLASS.get(plain, plain)


def is_inserted(kind: str) -> bool:
    """Whether operators of a vendor's type move or convert tensors alone."""
    return kind_class(kind) == INSERTED
