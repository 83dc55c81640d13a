"""Networks that the onnx wheel lacks, built operator by operator, with the real structure and random weights.

ResNet-18 follows He et al., "Deep Residual Learning for Image Recognition" (CVPR 2016); MobileNetV2 follows Sandler et
al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks" (CVPR 2018); the transformer is an encoder after Vaswani
et al., "Attention Is All You Need" (NeurIPS 2017), with the activation and the first-token classifier of BERT.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
IR_VERSION = 8
NUM_CLASSES = 1000


def centred_normal(
    rng: np.random.Generator, shape: Sequence[int], *, axis: int = 0, centring: float = 0.6
) -> np.ndarray:
    """Random float32 weights that keep the scale of activations through a rectifier and reduce their mean.

    Weights after He et al. (ICCV 2015), ``centring = 0``, keep the mean square. After some twenty layers most of it is
    a mean that all inputs share, and outputs for different images differ by only 2 %. Weights that sum to zero for each
    output (``centring = 1``) remove the mean, but rounding errors then grow from layer to layer and dominate in
    bfloat16. With values in between, outputs depend on the input and are stable in low precision.

    Args:
        rng: Random generator.
        shape: Shape of the weights.
        axis: The axis that counts the outputs.
        centring: Share of the weights' mean to subtract, from 0 to 1.
    """
    weights = rng.standard_normal(shape, dtype=np.float32)
    others = tuple(i for i in range(len(shape)) if i != axis % len(shape))
    weights -= np.float32(centring) * weights.mean(axis=others, keepdims=True)
    # A rectified standard normal has the mean square 1/2 and the squared mean 1/(2 pi).
    passed = 1 / 2 - (1 - (1 - centring) ** 2) / (2 * math.pi)
    weights *= np.float32(1 / math.sqrt(passed * math.prod(shape[i] for i in others)))
    return weights


def near_one(rng: np.random.Generator, shape: Sequence[int]) -> np.ndarray:
    """Scales and variances, uniform between 0.8 and 1.2, as float32."""
    return rng.uniform(0.8, 1.2, shape).astype(np.float32)


def near_zero(rng: np.random.Generator, shape: Sequence[int]) -> np.ndarray:
    """Biases and means, normal with a standard deviation of 0.05, as float32."""
    return rng.normal(0, 0.05, shape).astype(np.float32)


def resnet18(seed: int) -> onnx.ModelProto:
    """ResNet-18 for images of 224 x 224 pixels."""
    net = _Network("resnet18", "image", (1, 3, 224, 224), seed)
    x = net.relu(net.conv_bn("image", "conv1", 3, 64, kernel=7, stride=2))
    x = net.op("MaxPool", [x], "pool1", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    num_in = 64
    for stage, num_out in enumerate((64, 128, 256, 512), start=1):
        for block in (1, 2):
            name = f"layer{stage}.{block}"
            stride = 2 if stage > 1 and block == 1 else 1
            y = net.relu(net.conv_bn(x, f"{name}.conv1", num_in, num_out, kernel=3, stride=stride))
            y = net.conv_bn(y, f"{name}.conv2", num_out, num_out, kernel=3)
            if stride > 1:
                x = net.conv_bn(x, f"{name}.shortcut", num_in, num_out, kernel=1, stride=stride)
            x = net.relu(net.op("Add", [y, x], f"{name}.add"))
            num_in = num_out
    return net.classified(net.pooled(x), num_in)


def mobilenet_v2(seed: int) -> onnx.ModelProto:
    """MobileNetV2 (width 1.0) for images of 224 x 224 pixels.

    Its weights are not centred: depthwise filters read one channel each, so that no common mean builds up.
    """
    net = _Network("mobilenet_v2", "image", (1, 3, 224, 224), seed, centring=0.0)
    x = net.relu6(net.conv_bn("image", "stem", 3, 32, kernel=3, stride=2))
    num_in = 32
    rows = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
    for stage, (expansion, num_out, repeats, first_stride) in enumerate(rows, start=1):
        for block in range(1, repeats + 1):
            name = f"stage{stage}.{block}"
            stride = first_stride if block == 1 else 1
            wide = num_in * expansion
            y = x if expansion == 1 else net.relu6(net.conv_bn(x, f"{name}.expand", num_in, wide, kernel=1))
            y = net.relu6(net.conv_bn(y, f"{name}.depthwise", wide, wide, kernel=3, stride=stride, groups=wide))
            y = net.conv_bn(y, f"{name}.project", wide, num_out, kernel=1)
            x = net.op("Add", [y, x], f"{name}.add") if stride == 1 and num_in == num_out else y
            num_in = num_out
    x = net.relu6(net.conv_bn(x, "head", num_in, 1280, kernel=1))
    return net.classified(net.pooled(x), 1280)


def transformer(
    seed: int, *, num_layers: int = 4, length: int = 128, width: int = 256, num_heads: int = 4
) -> onnx.ModelProto:
    """A transformer encoder over ``length`` embedded tokens of ``width`` numbers, with a classifier on the first."""
    net = _Network("transformer", "embeddings", (1, length, width), seed)
    x = "embeddings"
    for layer in range(1, num_layers + 1):
        name = f"layer{layer}"
        x = net.norm(net.op("Add", [net.attention(x, name, length, width, num_heads), x], f"{name}.add1"), width)
        y = net.gelu(net.linear(x, f"{name}.widen", width, 4 * width))
        y = net.linear(y, f"{name}.narrow", 4 * width, width)
        x = net.norm(net.op("Add", [y, x], f"{name}.add2"), width)
    first = net.op("Gather", [x, net.constant("first", np.array(0, np.int64))], "first_token", axis=1)
    return net.classified(first, width)


class _Network:
    """Builds a network operator by operator. Each method adds operators and returns the name of their output."""

    def __init__(
        self, name: str, input_name: str, input_shape: Sequence[int], seed: int, *, centring: float = 0.6
    ) -> None:
        self._name = name
        self._input = helper.make_tensor_value_info(input_name, TensorProto.FLOAT, input_shape)
        self._nodes: list[onnx.NodeProto] = []
        self._weights: dict[str, onnx.TensorProto] = {}
        self._rng = np.random.default_rng(seed)
        self._centring = centring

    def op(self, kind: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        """Add an operator with one output, which has the operator's name."""
        self._nodes.append(helper.make_node(kind, inputs, [name], name, **attributes))
        return name

    def constant(self, name: str, value: np.ndarray) -> str:
        """Add a constant, unless there is one of that name."""
        self._weights.setdefault(name, numpy_helper.from_array(value, name))
        return name

    def conv_bn(
        self, x: str, name: str, num_in: int, num_out: int, *, kernel: int, stride: int = 1, groups: int = 1
    ) -> str:
        """Add a convolution with padding and its batch normalisation."""
        shape = (num_out, num_in // groups, kernel, kernel)
        weight = self.constant(f"{name}.weight", centred_normal(self._rng, shape, centring=self._centring))
        x = self.op("Conv", [x, weight], name, strides=[stride] * 2, pads=[kernel // 2] * 4, group=groups)
        draw = {"scale": near_one, "bias": near_zero, "mean": near_zero, "var": near_one}
        statistics = [self.constant(f"{name}.bn.{key}", make(self._rng, (num_out,))) for key, make in draw.items()]
        return self.op("BatchNormalization", [x, *statistics], f"{name}.bn")

    def relu(self, x: str) -> str:
        return self.op("Relu", [x], f"{x.removesuffix('.bn')}.relu")

    def relu6(self, x: str) -> str:
        bounds = [self.constant("zero", np.array(0, np.float32)), self.constant("six", np.array(6, np.float32))]
        return self.op("Clip", [x, *bounds], f"{x.removesuffix('.bn')}.relu6")

    def gelu(self, x: str) -> str:
        """``x * (1 + erf(x / sqrt(2))) / 2``, as single operators: ONNX has Gelu only from opset 20 on."""
        root = self.constant("sqrt2", np.array(math.sqrt(2), np.float32))
        one = self.constant("one", np.array(1, np.float32))
        half = self.constant("half", np.array(0.5, np.float32))
        y = self.op("Erf", [self.op("Div", [x, root], f"{x}.gelu.div")], f"{x}.gelu.erf")
        y = self.op("Mul", [x, self.op("Add", [y, one], f"{x}.gelu.add")], f"{x}.gelu.mul")
        return self.op("Mul", [y, half], f"{x}.gelu")

    def norm(self, x: str, width: int) -> str:
        scale = self.constant(f"{x}.norm.scale", near_one(self._rng, (width,)))
        bias = self.constant(f"{x}.norm.bias", near_zero(self._rng, (width,)))
        return self.op("LayerNormalization", [x, scale, bias], f"{x}.norm", axis=-1)

    def linear(self, x: str, name: str, num_in: int, num_out: int) -> str:
        """A matrix product over the last axis, and its bias."""
        weight = self.constant(f"{name}.weight", centred_normal(self._rng, (num_in, num_out), axis=1))
        bias = self.constant(f"{name}.bias", near_zero(self._rng, (num_out,)))
        return self.op("Add", [self.op("MatMul", [x, weight], f"{name}.matmul"), bias], name)

    def attention(self, x: str, name: str, length: int, width: int, num_heads: int) -> str:
        """Multi-head self-attention with its output projection."""
        split = self.constant("split_heads", np.array([1, length, num_heads, width // num_heads], np.int64))
        heads = {}
        for part, order in (("query", [0, 2, 1, 3]), ("key", [0, 2, 3, 1]), ("value", [0, 2, 1, 3])):
            y = self.linear(x, f"{name}.{part}", width, width)
            y = self.op("Reshape", [y, split], f"{name}.{part}.split")
            heads[part] = self.op("Transpose", [y], f"{name}.{part}.heads", perm=order)
        scale = self.constant("scale", np.array(math.sqrt(num_heads / width), np.float32))
        scores = self.op("MatMul", [heads["query"], heads["key"]], f"{name}.scores")
        scores = self.op("Softmax", [self.op("Mul", [scores, scale], f"{name}.scaled")], f"{name}.softmax", axis=-1)
        y = self.op("MatMul", [scores, heads["value"]], f"{name}.mixed")
        y = self.op("Transpose", [y], f"{name}.mixed.heads", perm=[0, 2, 1, 3])
        y = self.op("Reshape", [y, self.constant("join_heads", np.array([1, length, width]))], f"{name}.mixed.join")
        return self.linear(y, f"{name}.project", width, width)

    def pooled(self, x: str) -> str:
        return self.op("Flatten", [self.op("GlobalAveragePool", [x], "pool")], "flatten")

    def classified(self, x: str, num_in: int) -> onnx.ModelProto:
        """The finished model: a classifier on ``x`` of shape (1, num_in), and the softmax."""
        weight = self.constant(
            "classifier.weight", centred_normal(self._rng, (NUM_CLASSES, num_in), centring=self._centring)
        )
        bias = self.constant("classifier.bias", near_zero(self._rng, (NUM_CLASSES,)))
        logits = self.op("Gemm", [x, weight, bias], "classifier", transB=1)
        output = helper.make_tensor_value_info(
            self.op("Softmax", [logits], "probabilities", axis=-1), TensorProto.FLOAT, (1, NUM_CLASSES)
        )
        graph = helper.make_graph(self._nodes, self._name, [self._input], [output], list(self._weights.values()))
        return helper.make_model(graph, ir_version=IR_VERSION, opset_imports=[helper.make_opsetid("", OPSET)])
