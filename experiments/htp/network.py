"""The network of the trace: ResNet-50 under the names that PyTorch's exporter gives it.

K. He et al., "Deep Residual Learning for Image Recognition", CVPR 2016. The zoo's ``resnet50`` is the same network
under other names, and with shortcuts before the branches that they bypass, so that not even the order is the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from hetsim.models.importer import import_model
from hetsim.models.model import Model
from hetsim.models.networks import IR_VERSION, OPSET

NAME = "resnet50-traced"
_STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))
_ENCODER = "/resnet/encoder"


def traced_resnet50() -> Model:
    """The network for an image of 224 x 224 pixels; its weights are all alike, since only its costs are asked for."""
    net = _Builder()
    x = net.conv("pixel_values", "/resnet/embedder/embedder", 3, 64, kernel=7, stride=2, active=True)
    x = net.op("MaxPool", [x], "/resnet/embedder/pooler/MaxPool", kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    num_in = 64
    for stage, (width, num_layers) in enumerate(_STAGES):
        for layer in range(num_layers):
            name = f"{_ENCODER}/stages.{stage}/layers.{layer}"
            stride = 2 if stage > 0 and layer == 0 else 1
            y = net.conv(x, f"{name}/layer/layer.0", num_in, width, active=True)
            y = net.conv(y, f"{name}/layer/layer.1", width, width, kernel=3, stride=stride, active=True)
            y = net.conv(y, f"{name}/layer/layer.2", width, 4 * width)
            if layer == 0:
                x = net.conv(x, f"{name}/shortcut", num_in, 4 * width, stride=stride)
            x = net.op("Relu", [net.op("Add", [y, x], f"{name}/Add")], f"{name}/activation/Relu")
            num_in = 4 * width
    x = net.op("GlobalAveragePool", [x], "/resnet/pooler/GlobalAveragePool")
    x = net.op("Flatten", [x], "/classifier/classifier.0/Flatten")
    weights = [net.weight("classifier.1.weight", (1000, num_in)), net.weight("classifier.1.bias", (1000,))]
    return net.model(net.op("Gemm", [x, *weights], "/classifier/classifier.1/Gemm", transB=1))


class _Builder:
    """Builds the network operator by operator. Each method returns the name of what it adds."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []

    def op(self, kind: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        """Add an operator with one output."""
        self._nodes.append(helper.make_node(kind, inputs, [f"{name}_output_0"], name=name, **attributes))
        return f"{name}_output_0"

    def weight(self, name: str, shape: Sequence[int]) -> str:
        """Add weights."""
        self._weights.append(numpy_helper.from_array(np.full(shape, 0.01, np.float32), name))
        return name

    def conv(
        self, x: str, name: str, num_in: int, num_out: int, *, kernel: int = 1, stride: int = 1, active: bool = False
    ) -> str:
        """Add a convolution with a bias, which its normalisation became, and perhaps an activation."""
        inputs = [x, self.weight(f"{name}.weight", (num_out, num_in, kernel, kernel))]
        inputs.append(self.weight(f"{name}.bias", (num_out,)))
        pads, strides = [kernel // 2] * 4, [stride, stride]
        made = self.op(
            "Conv", inputs, f"{name}/convolution/Conv", kernel_shape=[kernel] * 2, pads=pads, strides=strides
        )
        return self.op("Relu", [made], f"{name}/activation/Relu") if active else made

    def model(self, output: str) -> Model:
        """The imported model that ends with an output."""
        self._nodes[-1].output[0] = "logits" if output == self._nodes[-1].output[0] else output
        read = helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, (1, 3, 224, 224))
        made = helper.make_tensor_value_info("logits", TensorProto.FLOAT, (1, 1000))
        graph = helper.make_graph(self._nodes, NAME, [read], [made], self._weights)
        proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        return import_model(proto, name=NAME)
