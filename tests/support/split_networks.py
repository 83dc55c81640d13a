"""Random small networks of everything that can be split and much that cannot, and random splits of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from hetsim.core.errors import ModelError, PlanError
from hetsim.core.plan import AXES, Plan, Split
from hetsim.core.platform import Platform
from hetsim.core.problem import Latency, Problem
from hetsim.models.importer import import_model
from hetsim.models.model import Model
from hetsim.models.split.rewrite import rewrite
from hetsim.models.split.rules import can_split, rule_for
from hetsim.models.split.splitting import ModelSplitting
from hetsim.scheduler.splits.placement import split_plan
from hetsim.scheduler.stages import Stage, boundaries, channel_groups, checked, splitting_of, step_of
from tests.support.models import fake_platform

_UNARY = ("Relu", "Sigmoid", "Tanh", "LeakyRelu", "HardSigmoid", "Elu", "Abs", "Softplus")


class Builder:
    """Grows a network; methods that add operators return the tensor they make, or None where none fits."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.shapes: dict[str, tuple[int, ...]] = {}

    def whole(self, low: int, high: int) -> int:
        """A whole number from ``low`` to ``high``."""
        return int(self.rng.integers(low, high + 1))

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def weight(self, *shape: int) -> str:
        name = f"w{len(self.weights)}"
        values = self.rng.standard_normal(shape) / np.sqrt(max(1, np.prod(shape[1:])))
        self.weights.append(numpy_helper.from_array(values.astype(np.float32), name))
        return name

    def constant(self, values: list[int]) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.array(values, dtype=np.int64), name))
        return name

    def add(self, kind: str, inputs: list[str], shape: tuple[int, ...], **attributes: object) -> str:
        made = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [made], name=f"{kind.lower()}{len(self.nodes)}", **attributes))
        self.shapes[made] = shape
        return made

    def _windows(self, shape: tuple[int, ...], *, pool: bool) -> tuple[dict[str, object], tuple[int, int]] | None:
        """Attributes of a sliding window, and how many rows and columns it makes."""
        kernel = [self.whole(1 + pool, 3), self.whole(1 + pool, 3)]
        strides = [self.whole(1, 3 if pool else 2), self.whole(1, 2)]
        dilations = [1, 1] if pool else [self.whole(1, 2), self.whole(1, 2)]
        attributes: dict[str, object] = {"kernel_shape": kernel, "strides": strides}
        if not pool:
            attributes["dilations"] = dilations
        extents = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
        # Engines refuse automatic padding with dilation, and where strides leave something out.
        automatic = (
            self.chance(0.2) and max(dilations) == 1 and all(s <= k for s, k in zip(strides, kernel, strict=True))
        )
        ceil = pool and not automatic and self.chance(0.5)
        made: list[int] = []
        if automatic:
            mode = ("SAME_UPPER", "SAME_LOWER", "VALID")[self.whole(0, 2)]
            attributes["auto_pad"] = mode
            for size, stride, extent in zip(shape[2:], strides, extents, strict=True):
                made.append(-(-size // stride) if mode != "VALID" else (size - extent) // stride + 1)
        else:
            pads = [self.whole(0, k - 1) for k in (*kernel, *kernel)]
            attributes["pads"] = pads
            for i, (size, stride, extent) in enumerate(zip(shape[2:], strides, extents, strict=True)):
                room = size + pads[i] + pads[i + 2] - extent
                out = (-(-room // stride) if ceil else room // stride) + 1
                if ceil and (out - 1) * stride >= size + pads[i]:
                    return None  # a window that begins behind the image: shape inference and engines disagree
                made.append(out)
            if ceil:
                attributes["ceil_mode"] = 1
        if min(made) < 1 or any(size < extent for size, extent in zip(shape[2:], extents, strict=True)):
            return None
        return attributes, (made[0], made[1])

    def conv(self, tensor: str) -> str | None:
        shape = self.shapes[tensor]
        found = self._windows(shape, pool=False)
        if found is None:
            return None
        attributes, image = found
        group = shape[1] if self.chance(0.3) else 2 if shape[1] % 2 == 0 and self.chance(0.2) else 1
        channels = shape[1] if group == shape[1] else 2 * self.whole(1, 4)
        weights = [self.weight(channels, shape[1] // group, *attributes["kernel_shape"])]  # type: ignore[misc]
        if self.chance(0.7):
            weights.append(self.weight(channels))
        return self.add("Conv", [tensor, *weights], (1, channels, *image), group=group, **attributes)

    def pool(self, tensor: str) -> str | None:
        shape = self.shapes[tensor]
        found = self._windows(shape, pool=True)
        if found is None:
            return None
        attributes, image = found
        kind = "MaxPool"
        if self.chance(0.5):
            kind = "AveragePool"
            attributes["count_include_pad"] = self.whole(0, 1)
        return self.add(kind, [tensor], (1, shape[1], *image), **attributes)

    def alone(self, tensor: str) -> str:
        """One of the kinds that keep the shape."""
        shape = self.shapes[tensor]
        match self.whole(0, 6):
            case 0:
                return self.add("Clip", [tensor, self.weight(), ""], shape)
            case 1:
                return self.add("PRelu", [tensor, self.weight(shape[1], 1, 1)], shape)
            case 2:
                positive = [self.weight(shape[1]) for _ in range(4)]
                self.weights[-1].CopyFrom(numpy_helper.from_array(np.ones(shape[1], np.float32), positive[-1]))
                return self.add("BatchNormalization", [tensor, *positive], shape)
            case 3:
                return self.add("LRN", [tensor], shape, size=3)
            case 4:
                full = [size if self.chance(0.5) else 1 for size in shape[1:]]
                return self.add(("Add", "Mul", "Sub")[self.whole(0, 2)], [tensor, self.weight(*full)], shape)
            case 5:
                return self.add("Softmax", [tensor], shape, axis=self.whole(1, 3))
        return self.add(_UNARY[self.whole(0, len(_UNARY) - 1)], [tensor], shape)

    def join(self, one: str, two: str) -> str | None:
        """Two tensors to one: a sum, a product by channel, or a concatenation."""
        first, second = self.shapes[one], self.shapes[two]
        if first == second and self.chance(0.6):
            return self.add(("Add", "Mul", "Max", "Sum")[self.whole(0, 3)], [one, two], first)
        if first[2:] == second[2:]:
            return self.add("Concat", [one, two], (1, first[1] + second[1], *first[2:]), axis=1)
        if first[1] == second[1]:
            scale = self.add("GlobalAveragePool", [two], (1, first[1], 1, 1))
            return self.add("Mul", [one, scale], first)
        return None

    def shuffle(self, tensor: str) -> str | None:
        _, channels, rows, columns = shape = self.shapes[tensor]
        if channels % 2:
            return None
        wide = (1, 2, channels // 2, rows, columns)
        five = self.add("Reshape", [tensor, self.constant(list(wide))], wide)
        turned = self.add("Transpose", [five], (1, wide[2], 2, rows, columns), perm=[0, 2, 1, 3, 4])
        return self.add("Reshape", [turned, self.constant(list(shape))], shape)

    def head(self, tensor: str) -> str:
        """A classifier, which can be split over its features."""
        channels = self.shapes[tensor][1]
        pooled = self.add("GlobalAveragePool", [tensor], (1, channels, 1, 1))
        flat = self.add("Flatten", [pooled], (1, channels))
        wide = self.whole(4, 12)
        if self.chance(0.5):
            inputs = [flat, self.weight(wide, channels), self.weight(wide)]
            hidden = self.add("Gemm", inputs, (1, wide), transB=1)
        else:
            hidden = self.add("Gemm", [flat, self.weight(channels, wide), self.weight(1, wide)], (1, wide))
        hidden = self.add("Relu", [hidden], (1, wide))
        return self.add("MatMul", [hidden, self.weight(wide, 5)], (1, 5))


def random_network(rng: np.random.Generator) -> Model:
    """A network of up to some 20 operators on a small image, with branches, residuals and several outputs at times."""
    builder = Builder(rng)
    builder.shapes["x"] = (1, builder.whole(2, 5), builder.whole(7, 18), builder.whole(5, 9))
    image = builder.shapes["x"]
    live = ["x"]
    for _ in range(builder.whole(3, 14)):
        tensor = live[-1] if builder.chance(0.75) else live[builder.whole(0, len(live) - 1)]
        dice = builder.rng.random()
        if dice < 0.4:
            made = builder.conv(tensor)
        elif dice < 0.55:
            made = builder.pool(tensor)
        elif dice < 0.75:
            made = builder.alone(tensor)
        elif dice < 0.8:
            made = builder.shuffle(tensor)
        else:
            made = builder.join(live[-1], live[builder.whole(0, len(live) - 1)])
        if made is not None:
            live.append(made)
    if len(live) == 1:
        live.append(builder.add("Relu", ["x"], image))
    if builder.chance(0.3):
        live.append(builder.head(live[-1]))
    read = {tensor for node in builder.nodes for tensor in node.input}
    outputs = [tensor for tensor in live if tensor not in read]
    graph = helper.make_graph(
        builder.nodes,
        "random",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, image)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, builder.shapes[name]) for name in outputs],
        builder.weights,
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    try:
        return import_model(proto, name="random")
    except ModelError:  # a window that this version of an engine refuses
        return random_network(rng)


def split_problem(
    model: Model, platform: Platform | None = None, s_per_item: Mapping[str, float] | None = None
) -> Problem:
    """The problem of a model, or of one rewritten from it, in which an operator costs by its elements and its MACs.

    A segment takes its device's launch and, for each operator, the seconds for an item times the number of its items:
    multiplications, or elements that it makes; of slices and concatenations 16 elements are one item.

    Args:
        model: The model.
        platform: The devices; None stands for ``cpu`` and ``npu`` with free hand-overs.
        s_per_item: By device; absent devices take 1e-6 s.
    """
    devices = platform or fake_platform()
    rates = dict.fromkeys(devices.device_names, 1e-6) | dict(s_per_item or {})
    launch_s = {device.name: device.launch_s for device in devices.devices}
    graph = model.graph

    def items(name: str) -> float:
        op = graph.by_name[name]
        elements = sum(int(np.prod(graph.tensors[tensor].shape)) for tensor in op.outputs)
        return elements / 16 if op.moves_data else op.num_macs or elements

    return Problem(
        graph=graph,
        platform=devices,
        latency_function=lambda device, ops: Latency(launch_s[device] + rates[device] * sum(map(items, ops))),
        model_hash=model.hash,
        splitting=ModelSplitting(model, lambda other: split_problem(other, devices, rates)),
        rewrites=model.splits,
    )


def random_splits(model: Model, rng: np.random.Generator) -> tuple[Split, ...]:
    """Splits of operators that follow one another in topological order, some of them neighbours; maybe none."""
    ops = [op.name for op in model.graph.ops]
    splits: tuple[Split, ...] = ()
    start = 0
    while start < len(ops):
        axis = AXES[int(rng.random() < 0.35)]
        stop = start + int(rng.integers(1, 9))
        run: list[str] = []
        for op in ops[start:stop]:
            if not can_split(model, op, axis):  # type: ignore[arg-type]
                break
            run.append(op)
        while run:  # until one is found that hands on tensors of one size
            size = rule_for(model, run[-1], axis).size  # type: ignore[arg-type]
            num = min(int(rng.integers(1, 4)), size - 1)
            at = tuple(sorted(int(each) for each in rng.choice(np.arange(1, size), num, replace=False)))
            split = Split(tuple(run), axis, at)  # type: ignore[arg-type]
            try:
                rewrite(model, (split,))
            except PlanError:
                run.pop()
            else:
                splits = (*splits, split)
                break
        start += max(1, len(run) + int(rng.random() < 0.2))
    return splits


def stack(*kernels: int, rows: int = 8, channels: int = 4, is_residual: bool = False) -> Model:
    """Convolutions ``conv0``, ``conv1``, ... of these sizes, padded to keep the image; ``pool`` averages all of it.

    In a residual stack, ``add`` adds what the first convolution made to what the last one made.
    """
    rng = np.random.default_rng(0)
    nodes, weights = [], []
    for i, kernel in enumerate(kernels):
        values = rng.standard_normal((channels, channels, kernel, kernel)).astype(np.float32)
        weights.append(numpy_helper.from_array(values, f"w{i}"))
        pads = [kernel // 2] * 4
        nodes.append(helper.make_node("Conv", [f"t{i}", f"w{i}"], [f"t{i + 1}"], name=f"conv{i}", pads=pads))
    last = f"t{len(kernels)}"
    if is_residual:
        nodes.append(helper.make_node("Add", ["t1", last], ["sum"], name="add"))
        last = "sum"
    nodes.append(helper.make_node("GlobalAveragePool", [last], ["y"], name="pool"))
    image, mean = [1, channels, rows, 5], [1, channels, 1, 1]
    graph = helper.make_graph(
        nodes,
        "stack",
        [helper.make_tensor_value_info("t0", TensorProto.FLOAT, image)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, mean)],
        weights,
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return import_model(proto, name="stack")


def row_split(problem: Problem, ops: tuple[str, ...], fractions: Sequence[float]) -> Split | None:
    """The run divided by rows in about these fractions; None where it cannot be."""
    lengths = [splitting_of(problem).length(op, "rows") for op in ops]
    if not all(lengths):
        return None
    return checked(problem, ops, "rows", boundaries(lengths[-1] or 0, fractions))


def channel_splits(problem: Problem, ops: tuple[str, ...], fractions: Sequence[float]) -> tuple[Split, ...]:
    """The run divided by channels in about these fractions, one split after the other; none where it cannot be."""
    found: list[Split] = []
    for group in channel_groups(problem, ops):
        size = splitting_of(problem).length(group[-1], "channels") or 0
        step = step_of("channels", size, len(fractions))
        split = checked(problem, group, "channels", boundaries(size, fractions, step))
        if split is None:
            return ()
        found.append(split)
    return tuple(found)


def plan_in_parts(problem: Problem) -> Plan:
    """Of ``stack(3, 3, 1)``: two convolutions by rows on both devices, one by channels, and the rest on one device."""
    rows = row_split(problem, ("conv0", "conv1"), (0.5, 0.5))
    assert rows is not None
    both = ("cpu", "npu")
    stages = (
        Stage(ops=("conv0", "conv1"), devices=both, splits=(rows,)),
        Stage(ops=("conv2",), devices=both, splits=channel_splits(problem, ("conv2",), (0.5, 0.5))),
        Stage(ops=("pool",), devices=("npu",)),
    )
    return split_plan(problem, stages)
