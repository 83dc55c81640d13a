"""Rules by kind of operator: which range of each input a part of the output needs.

A rule gives the axis along which an operator's output can be divided, and the range of each input that a range of the
output reads. Sliding windows (convolution, pooling) read a few rows more than their share, the *halo*; padding stays at
the borders of the whole. Kinds without a rule cannot be split.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import onnx
from onnx import helper

from hetsim.core.errors import PlanError
from hetsim.core.graph import Op
from hetsim.core.plan import Axis
from hetsim.models.model import Model

# fmt: off
_ELEMENTWISE = frozenset((
    "Abs", "Add", "And", "Cast", "Ceil", "Celu", "Clip", "Div", "Dropout", "Elu", "Equal", "Erf", "Exp", "Floor",
    "Gelu", "Greater", "GreaterOrEqual", "HardSigmoid", "HardSwish", "Identity", "LeakyRelu", "Less", "LessOrEqual",
    "Log", "Max", "Mean", "Min", "Mish", "Mul", "Neg", "Not", "Or", "PRelu", "Pow", "Reciprocal", "Relu", "Round",
    "Selu", "Sigmoid", "Sign", "Softplus", "Softsign", "Sqrt", "Sub", "Sum", "Tanh", "ThresholdedRelu", "Where", "Xor",
))
# fmt: on
_MIN_OPSET = 7  # before, operators broadcast by attributes
_SOFTMAX_BY_AXIS_OPSET = 13  # before, Softmax joins all axes from its own on
_SPATIAL_RANK = 4  # batch, channels, rows and columns


@dataclass(frozen=True, slots=True)
class Window:
    """A window that slides along an axis.

    Attributes:
        size: Length of the input.
        extent: Length of one window, from its first element to its last.
        stride: Distance from one window to the next.
        pad: Elements of padding before the input.
    """

    size: int
    extent: int
    stride: int
    pad: int

    def reads(self, low: int, high: int) -> tuple[int, int]:
        """The range of the input that windows ``low`` to ``high - 1`` read; empty if they read only padding."""
        return max(0, low * self.stride - self.pad), min(self.size, (high - 1) * self.stride - self.pad + self.extent)

    def pads(self, low: int, high: int) -> tuple[int, int]:
        """Elements of padding before and after the input that these windows read."""
        return max(0, self.pad - low * self.stride), max(
            0, (high - 1) * self.stride - self.pad + self.extent - self.size
        )


@dataclass(frozen=True, slots=True)
class Reading:
    """The range of one input that a part reads.

    Attributes:
        axis: The input's axis along which it reads a range; None if every part reads the whole input.
        window: The window that gives the range; None if the range is that of the output.
    """

    axis: int | None = None
    window: Window | None = None

    def range(self, low: int, high: int) -> tuple[int, int]:
        """The range that outputs ``low`` to ``high - 1`` read."""
        return (low, high) if self.window is None else self.window.reads(low, high)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How an operator is divided along an axis.

    Attributes:
        axis: The axis of its output, from 0.
        size: Length of its output along that axis.
        readings: By input of its node, what a part reads.
        attributes: By the range of a part, the attributes of its node that differ from the whole.
        shape: The output's shape, if the node reads it as its second input.
    """

    axis: int
    size: int
    readings: tuple[Reading, ...]
    attributes: Callable[[int, int], Mapping[str, object]] = field(default=lambda _low, _high: {})
    shape: tuple[int, ...] | None = None


def rule_for(model: Model, name: str, axis: Axis) -> Rule:
    """The rule for an operator and an axis; it is cached in the model.

    Raises:
        PlanError: If the operator cannot be split along the axis, with the reason.
    """
    found = model.split_rules.get((name, axis))
    if found is None:
        try:
            found = _make_rule(model, name, axis)
        except PlanError as error:
            found = str(error)
        model.split_rules[name, axis] = found
    if isinstance(found, str):
        raise PlanError(found)
    assert isinstance(found, Rule)
    return found


def _make_rule(model: Model, name: str, axis: Axis) -> Rule:
    op = model.graph.by_name[name]
    if name in model.regions or model.nodes[name].domain or model.opset < _MIN_OPSET:
        raise PlanError(
            f"{op.kind} operator {name!r} cannot be split: only standard operators of opset {_MIN_OPSET} or later can; "
            "end the run"
        )
    if len(op.outputs) != 1:
        raise PlanError(f"{op.kind} operator {name!r} has {len(op.outputs)} outputs and cannot be split; end the run")
    found = _Case(model, op).rule(axis)
    if found is None or found.size < 2:
        raise PlanError(f"{op.kind} operator {name!r} cannot be split along {axis}; end the run before it")
    return found


def can_split(model: Model, name: str, axis: Axis) -> bool:
    """Whether an operator can be split along an axis."""
    try:
        rule_for(model, name, axis)
    except PlanError:
        return False
    return True


def split_axis(shape: tuple[int, ...], axis: Axis) -> int | None:
    """The number of the axis in a tensor of that shape, from 0; None if it has no such axis."""
    if axis == "rows":
        return len(shape) - 2 if len(shape) >= 2 else None
    return None if not shape else 1 if len(shape) >= _SPATIAL_RANK else len(shape) - 1


class _Case:
    """An operator with its node and the shapes of its inputs and output."""

    def __init__(self, model: Model, op: Op) -> None:
        self.op = op
        self.opset = model.opset
        self.node = model.nodes[op.name]
        self.attributes = {a.name: helper.get_attribute_value(a) for a in self.node.attribute}
        self.constant = tuple(name in model.weights for name in self.node.input)
        self.shapes = tuple(_shape(model, name) for name in self.node.input)
        self.shape = model.graph.tensors[op.outputs[0]].shape

    def rule(self, axis: Axis) -> Rule | None:
        place = split_axis(self.shape, axis)
        if place is None:
            return None
        kind, size = self.op.kind, self.shape[place]
        readings: tuple[Reading, ...] | None = None
        if kind in _ELEMENTWISE:
            readings = self._broadcast(place)
        elif kind in ("Conv", "MaxPool", "AveragePool"):
            return self._window_rule(size) if axis == "rows" else self._channel_rule(size)
        elif kind == "GlobalAveragePool" and axis == "channels":
            readings = (Reading(1),)
        elif kind in ("Gemm", "MatMul"):
            readings = self._product(axis, place)
        elif kind == "BatchNormalization" and len(self.shape) >= 2 and self.attributes.get("spatial", 1):
            readings = (Reading(place), *(Reading(0) if place == 1 else Reading() for _ in self.shapes[1:]))
        elif kind == "LRN" and place != 1:
            readings = (Reading(place),)
        elif (kind == "Concat" and self._axis(0) != place) or (
            kind in ("Softmax", "LogSoftmax") and self._is_outside_softmax(place)
        ):
            readings = tuple(Reading(place) for _ in self.shapes)
        elif kind == "LayerNormalization" and place < self._axis(-1):
            readings = self._broadcast(place)
        elif kind == "Transpose" and axis == "rows" and self._keeps_image(len(self.shape)):
            readings = (Reading(place),)
        elif kind == "Reshape" and axis == "rows" and self.shapes[0][-2:] == self.shape[-2:]:
            reading = Reading(len(self.shapes[0]) - 2)
            return Rule(axis=place, size=size, readings=(reading, Reading()), shape=self.shape)
        return None if readings is None else Rule(axis=place, size=size, readings=readings)

    def _is_outside_softmax(self, place: int) -> bool:
        """Whether a Softmax computes each index along an axis by itself."""
        return self._axis(-1) != place if self.opset >= _SOFTMAX_BY_AXIS_OPSET else place < self._axis(1)

    def _axis(self, default: int) -> int:
        return int(self.attributes.get("axis", default)) % len(self.shape)

    def _keeps_image(self, rank: int) -> bool:
        return list(self.attributes.get("perm", ()))[-2:] == [rank - 2, rank - 1]

    def _broadcast(self, place: int) -> tuple[Reading, ...]:
        """Inputs are aligned at their last axis; an input of length 1 along the axis is read whole."""
        from_right = len(self.shape) - place
        return tuple(
            Reading(len(shape) - from_right) if len(shape) >= from_right and shape[-from_right] != 1 else Reading()
            for shape in self.shapes
        )

    def _product(self, axis: Axis, place: int) -> tuple[Reading, ...] | None:
        left, right = self.shapes[:2]
        if len(left) < 2 or len(right) < 2:
            return None
        if axis == "rows":
            if self.attributes.get("transA", 0):
                return None
            return (Reading(len(left) - 2), Reading(), *self._broadcast(place)[2:])
        if not all(self.constant[1:]):  # only weights make this worth while: no other part reads them
            return None
        columns = 0 if self.attributes.get("transB", 0) else len(right) - 1
        return (Reading(), Reading(columns), *self._broadcast(place)[2:])

    def _channel_rule(self, size: int) -> Rule | None:
        if self.op.kind != "Conv":
            return Rule(axis=1, size=size, readings=(Reading(1),))
        group = int(self.attributes.get("group", 1))
        weights = tuple(Reading(0) for _ in self.shapes[1:])
        if not all(self.constant[1:]) or len(self.shape) != _SPATIAL_RANK:
            return None
        if group == 1:
            return Rule(axis=1, size=size, readings=(Reading(), *weights))
        if group == size == self.shapes[0][1]:
            return Rule(
                axis=1, size=size, readings=(Reading(1), *weights), attributes=lambda low, high: {"group": high - low}
            )
        return None

    def _window_rule(self, size: int) -> Rule | None:
        if len(self.shape) != _SPATIAL_RANK:
            return None
        kernel = self.shapes[1][2:] if self.op.kind == "Conv" else tuple(self.attributes["kernel_shape"])
        strides = tuple(self.attributes.get("strides", (1, 1)))
        dilations = tuple(self.attributes.get("dilations", (1, 1)))
        extents = tuple((k - 1) * dilation + 1 for k, dilation in zip(kernel, dilations, strict=True))
        # What the last window reads beyond the input is padding, also for windows that ``ceil_mode`` adds.
        before, after = self._pads(extents, strides)
        ends = tuple(
            max(0, (out - 1) * stride + extent - pad - length)
            for out, stride, extent, pad, length in zip(
                self.shape[2:], strides, extents, before, self.shapes[0][2:], strict=True
            )
        )
        if self.op.kind != "Conv":
            if any(pad >= k for pad, k in zip((*before, *ends), (*kernel, *kernel), strict=True)):
                return None
            counted = self.op.kind == "AveragePool" and self.attributes.get("count_include_pad", 0)
            if counted and any(end > pad for end, pad in zip(ends, after, strict=True)):
                return None  # engines differ in what they count beyond the padding
        rows = Window(size=self.shapes[0][2], extent=extents[0], stride=strides[0], pad=before[0])

        def attributes(low: int, high: int) -> Mapping[str, object]:
            above, below = rows.pads(low, high)
            own = {"auto_pad": None, "ceil_mode": None, "pads": [above, before[1], below, ends[1]]}
            return own | {"strides": list(strides)}

        readings = (Reading(2, rows), *(Reading() for _ in self.shapes[1:]))
        return Rule(axis=2, size=size, readings=readings, attributes=attributes)

    def _pads(self, extents: tuple[int, ...], strides: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Padding before and after the input, by image axis."""
        automatic = self.attributes.get("auto_pad", b"NOTSET").decode()
        if automatic == "NOTSET":
            pads = tuple(self.attributes.get("pads", (0, 0, 0, 0)))
            return pads[:2], pads[2:]
        if automatic == "VALID":
            return (0, 0), (0, 0)
        sizes = zip(self.shape[2:], strides, extents, self.shapes[0][2:], strict=True)
        total = [max(0, (out - 1) * stride + extent - length) for out, stride, extent, length in sizes]
        less, more = tuple(each // 2 for each in total), tuple(each - each // 2 for each in total)
        return (less, more) if automatic == "SAME_UPPER" else (more, less)


def _shape(model: Model, name: str) -> tuple[int, ...]:
    """Shape of a tensor or a weight; empty for an omitted input."""
    if name in model.weights:
        return tuple(model.weights[name].dims)
    return model.graph.tensors[name].shape if name else ()


def part_node(node: onnx.NodeProto, rule: Rule, low: int, high: int) -> onnx.NodeProto:
    """The node that computes outputs ``low`` to ``high - 1``, with unchanged names and the rule's attributes."""
    part = onnx.NodeProto()
    part.CopyFrom(node)
    changed = rule.attributes(low, high)
    unchanged = [attribute for attribute in part.attribute if attribute.name not in changed]
    made = [helper.make_attribute(name, value) for name, value in changed.items() if value is not None]
    del part.attribute[:]
    part.attribute.extend(sorted((*unchanged, *made), key=lambda attribute: attribute.name))
    return part
