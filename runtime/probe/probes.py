"""A probe: one operator, or several that are run together, with the values that its inputs can have.

Probes of operators with the same signature are equal: they have the same nodes up to names, the same small shapes, the
same constants that decide what is computed, and inputs from the same classes of values.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count

import numpy as np
import onnx
from onnx import numpy_helper

from hetsim.core.graph import Graph
from hetsim.models.model import Model
from hetsim.models.nodes import names_read, rename_tensors
from hetsim.models.ranges.demands import Demand, demands
from hetsim.models.ranges.facts import Facts, kinds
from hetsim.models.ranges.interval import (
    ANYTHING,
    Interval,
    Special,
    array_interval,
    is_float,
    type_interval,
)
from hetsim.models.ranges.propagation import ValueRanges
from hetsim.models.ranges.sizes import deciding
from hetsim.runtime.probe.small_shapes import Shape, fit, small_shapes

_DECIDING = {"i": 64, "u": 64, "b": 64, "f": 8}
"""By kind of type, constants of so many elements at most may decide what is computed: axes, sizes, bounds, scales."""

_BY_RANGE = frozenset(
    kinds(
        "Acos Acosh Asin Atanh Cast CastLike Div Exp Log Mod Pow QuantizeLinear Reciprocal ReduceLogSum Sqrt "
        "DynamicQuantizeLinear Ceil Floor Round"
    )
)
"""Operators on floats whose probe depends on the range of their inputs; others are probed over all floats."""

_BORDERS = (0, 1, 2, 127, 128, 255, 256, 2**15 - 1, 2**15, 2**16, 2**24, 2**31 - 1, 2**31, 2**32, 2**53, 2**63, 2**64)
_ENDS = sorted({*_BORDERS, *(-border for border in _BORDERS), 2**63 - 1, 2**64 - 1})


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeInput:
    """A tensor that a probe is given.

    Attributes:
        name: Its name in the probe.
        dtype: NumPy's name of its type.
        shape: Its shape in the probe.
        interval: The values that it can have.
        nonzero: Whether no element may be 0.
        is_drawn: Whether its values may be drawn; otherwise they come from real runs.
    """

    name: str
    dtype: str
    shape: Shape
    interval: Interval
    nonzero: bool = False
    is_drawn: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeOutput:
    """A tensor that a probe makes.

    Attributes:
        name: Its name in the probe.
        dtype: NumPy's name of its type.
        special: Values that are not finite and can occur.
    """

    name: str
    dtype: str
    special: Special


@dataclass(frozen=True, kw_only=True)
class Probe:
    """One operator, or several that are run together, to be compared with the reference.

    Attributes:
        kind: The operator's kind; of several, the first's.
        num_ops: How many operators it runs.
        nodes: The nodes, with tensors named in order of appearance.
        weights: Constants by name.
        inputs: The tensors that it is given.
        outputs: The tensors that it makes.
        opsets: The versions of the operator sets.
        ir_version: The version of the format.
        key: Equal for probes of the same signature.
        examples: Values of the inputs in real runs, for operators some of whose integers may decide shapes.
    """

    kind: str
    num_ops: int
    nodes: tuple[onnx.NodeProto, ...]
    weights: Mapping[str, onnx.TensorProto]
    inputs: tuple[ProbeInput, ...]
    outputs: tuple[ProbeOutput, ...]
    opsets: tuple[tuple[str, int], ...]
    ir_version: int
    key: str
    examples: tuple[Mapping[str, np.ndarray], ...] = ()

    @property
    def has_values(self) -> bool:
        """Whether there are values for all of its inputs."""
        return bool(self.examples) or all(one.is_drawn for one in self.inputs)


def make_probe(
    model: Model, ranges: ValueRanges, ops: Sequence[str], examples: Sequence[Mapping[str, np.ndarray]] = ()
) -> Probe:
    """The probe of some operators of a model.

    Args:
        model: The model, not a rewritten one.
        ranges: The values of its tensors.
        ops: A convex set of operators in topological order; one in most cases.
        examples: Values of the model's tensors in real runs, of operators some of whose integers decide shapes.
    """
    graph = model.graph
    nodes = [node for op in ops for node in model.nodes_of(op)]
    renamed = _canonical(nodes)
    shapes: dict[str, Shape | None] = {}
    copies = [onnx.NodeProto() for _ in nodes]
    for copy, node in zip(copies, nodes, strict=True):
        copy.CopyFrom(node)
    if len(nodes) == 1 and not examples:
        small, of_inputs = small_shapes(ranges.facts(nodes[0]))
        copies[0].CopyFrom(small)
        shapes = {name: shape for name, shape in zip(nodes[0].input, of_inputs, strict=True) if name}
    for number, copy in enumerate(copies):
        copy.name, copy.doc_string = f"n{number}", ""
        rename_tensors(copy, lambda name: renamed.get(name, name))
    weights = _weights(model, nodes, shapes, renamed)
    cut = {
        renamed[name]
        for name, shape in shapes.items()
        if name in model.weights and shape != tuple(model.weights[name].dims)
    }
    asked = _demands(ranges, nodes, shapes)
    real_only = undrawn(model, ops)
    wide = len(nodes) == 1 and nodes[0].op_type not in _BY_RANGE
    inputs = tuple(
        replace(
            _input(graph, ranges, name, shapes.get(name), asked.get(name), renamed[name], wide=wide),
            is_drawn=name not in real_only,
        )
        for name in graph.inputs_of(ops)
    )
    outputs = tuple(
        ProbeOutput(
            name=renamed[name],
            dtype=graph.tensors[name].dtype,
            special=(ranges[name] or ANYTHING).special,
        )
        for name in graph.outputs_of(ops)
    )
    real = tuple({renamed[name]: run[name] for name in graph.inputs_of(ops)} for run in examples)
    domains = {node.domain for node in copies}
    opsets = tuple((one.domain, one.version) for one in model.proto.opset_import if one.domain in domains | {""})
    return Probe(
        kind=graph.by_name[ops[0]].kind,
        num_ops=len(ops),
        nodes=tuple(copies),
        weights=weights,
        inputs=inputs,
        outputs=outputs,
        opsets=opsets,
        ir_version=model.proto.ir_version,
        key=_key(copies, weights, cut, inputs, outputs, opsets, real),
        examples=real,
    )


def undrawn(model: Model, ops: Sequence[str]) -> frozenset[str]:
    """The inputs of operators whose values mean nothing unless they come from a real run: they may decide shapes."""
    tensors = model.graph.tensors
    found = deciding(
        [node for op in ops for node in model.nodes_of(op)],
        lambda name: None if name in model.weights else tensors[name].dtype if name in tensors else "",
    )
    return found.intersection(model.graph.inputs_of(ops))


def _canonical(nodes: Sequence[onnx.NodeProto]) -> dict[str, str]:
    """New names for all tensors that the nodes read and make, in order of appearance."""
    names: dict[str, str] = {}
    number = count()
    for node in nodes:
        for name in (*node.input, *names_read(node), *node.output):
            if name and name not in names:
                names[name] = f"t{next(number)}"
    return names


def _weights(
    model: Model, nodes: Sequence[onnx.NodeProto], shapes: Mapping[str, Shape | None], renamed: Mapping[str, str]
) -> dict[str, onnx.TensorProto]:
    found: dict[str, onnx.TensorProto] = {}
    for name in dict.fromkeys(name for node in nodes for name in names_read(node)):
        if name not in model.weights:
            continue
        tensor, shape = onnx.TensorProto(), shapes.get(name)
        if shape is not None and shape != tuple(model.weights[name].dims):
            tensor = numpy_helper.from_array(fit(numpy_helper.to_array(model.weights[name]), shape))
        else:
            tensor.CopyFrom(model.weights[name])
        tensor.name, tensor.doc_string = renamed[name], ""
        found[renamed[name]] = tensor
    return found


def _demands(
    ranges: ValueRanges, nodes: Sequence[onnx.NodeProto], shapes: Mapping[str, Shape | None]
) -> dict[str, Demand]:
    """By tensor, what the nodes demand of it, in the probe's shapes."""
    found: dict[str, Demand] = {}
    for node in nodes:
        own = ranges.facts(node)
        facts = Facts(
            node=node,
            intervals=own.intervals,
            dtypes=own.dtypes,
            shapes=tuple(shapes.get(name, shape) for name, shape in zip(node.input, own.shapes, strict=True)),
            array=own.array,
        )
        for position, demand in demands(facts).items():
            name = node.input[position]
            found[name] = found[name].and_also(demand) if name in found else demand
    return found


def _input(
    graph: Graph,
    ranges: ValueRanges,
    name: str,
    shape: Shape | None,
    demand: Demand | None,
    renamed: str,
    *,
    wide: bool,
) -> ProbeInput:
    tensor = graph.tensors[name]
    held = ranges[name] or ANYTHING
    interval = _class(held, tensor.dtype)
    if wide and is_float(tensor.dtype):
        interval = Interval(-math.inf, math.inf, held.special)
    if demand is not None:
        interval = interval.common(demand.interval)
    return ProbeInput(
        name=renamed,
        dtype=tensor.dtype,
        shape=tensor.shape if shape is None else shape,
        interval=interval,
        nonzero=demand is not None and demand.nonzero,
    )


def _class(interval: Interval, dtype: str) -> Interval:
    """The class of intervals that one belongs to; it has all values of the interval."""
    low = max((end for end in _ENDS if end <= interval.low), default=-math.inf)
    high = min((end for end in _ENDS if end >= interval.high), default=math.inf)
    if is_float(dtype):
        return Interval(float(low), float(high), interval.special)
    whole = type_interval(dtype)
    return Interval(low, high) if whole is None else Interval(low, high).common(whole)


def _signature_of(array: np.ndarray, *, is_cut: bool = False) -> str:
    """What decides of a constant: all of it if it is small, otherwise, or of a part, the class of its values."""
    interval = array_interval(array)
    if interval is None or (array.size <= _DECIDING.get(array.dtype.kind, 0) and not is_cut):
        return repr(array.tolist())
    if is_float(array.dtype.name):
        return f"{interval.low < 0} {interval.high > 0} {interval.special}"
    return repr(_class(interval, array.dtype.name))


def _key(
    nodes: Sequence[onnx.NodeProto],
    weights: Mapping[str, onnx.TensorProto],
    cut: Collection[str],
    inputs: Sequence[ProbeInput],
    outputs: Sequence[ProbeOutput],
    opsets: Sequence[tuple[str, int]],
    examples: Sequence[Mapping[str, np.ndarray]],
) -> str:
    content = hashlib.sha256()
    for node in nodes:
        ordered = onnx.NodeProto()
        ordered.CopyFrom(node)
        attributes = sorted(ordered.attribute, key=lambda attribute: attribute.name)
        del ordered.attribute[:]
        ordered.attribute.extend(attributes)
        content.update(ordered.SerializeToString(deterministic=True))
    for name, tensor in weights.items():
        content.update(f"{name} {tensor.data_type} {list(tensor.dims)}".encode())
        array = numpy_helper.to_array(tensor)
        content.update(_signature_of(array, is_cut=name in cut).encode())
    for run in examples:
        for name, array in run.items():
            content.update(f"{name} {_signature_of(np.asarray(array))}".encode())
    content.update(repr((tuple(inputs), tuple(outputs), tuple(opsets))).encode())
    return content.hexdigest()[:32]
