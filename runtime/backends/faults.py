"""Wrong operators on purpose, for tests: a segment's ONNX file with an operator whose first output is altered."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

KINDS = ("scale", "offset", "sign", "rows", "saturate", "ties", "nan")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What is wrong with an operator.

    Attributes:
        op: Name of the operator, as :func:`plain_name` gives it.
        kind: ``"scale"`` multiplies by 1 + ``size``, ``"offset"`` adds ``size``, ``"sign"`` negates, ``"rows"`` swaps
            the first two rows along the first axis that has two, ``"saturate"`` cuts off above ``size``, ``"ties"``
            makes an ArgMax or ArgMin choose the last of equal values, ``"nan"`` makes NaN.
        size: See there.
        place: The one element that is altered, counted in memory; -1 for all. Without meaning for ``"rows"``,
            ``"saturate"`` and ``"ties"``.
    """

    op: str
    kind: str
    size: float = 0.0
    place: int = -1

    @classmethod
    def parse(cls, op: str, description: str) -> Fault:
        """The fault that ``KIND``, ``KIND:SIZE`` or ``KIND:SIZE:PLACE`` describes."""
        kind, _, rest = description.partition(":")
        size, _, place = rest.partition(":")
        if kind not in KINDS:
            raise ValueError(f"no fault {kind!r}; there are {', '.join(KINDS)}")
        return cls(op=op, kind=kind, size=float(size or 0), place=int(place or -1))


def plain_name(name: str) -> str:
    """An operator's name without the number that :mod:`hetsim.models.segments.parts` puts before it."""
    return re.sub(r"^\d+/", "", name)


def write_faulty(path: Path, fault: Fault) -> Path:
    """The file of a segment with the fault in it, beside the segment's own; the latter if it lacks the operator."""
    model = onnx.load(path, load_external_data=False)
    node = next((node for node in model.graph.node if plain_name(node.name) == fault.op), None)
    if node is None:
        return path
    _alter(model, node, fault)
    altered = path.with_name(f"{path.stem}-{fault.kind}.onnx")
    altered.write_bytes(model.SerializeToString())
    return altered


def _alter(model: onnx.ModelProto, node: onnx.NodeProto, fault: Fault) -> None:
    graph, name = model.graph, node.output[0]
    if fault.kind == "ties":
        node.attribute.append(helper.make_attribute("select_last_index", 1))
        return
    shape, dtype = _type_of(model, name)
    clean = f"{name}/clean"
    node.output[0] = clean
    place = list(graph.node).index(node)
    constants: dict[str, np.ndarray] = {}
    match fault.kind:
        case "scale" | "sign":
            factor = -1.0 if fault.kind == "sign" else 1.0 + fault.size
            constants["factor"] = _filled(shape, dtype, 1, factor, fault.place)
            nodes = [helper.make_node("Mul", [clean, f"{name}/factor"], [name])]
        case "offset":
            constants["offset"] = _filled(shape, dtype, 0, fault.size, fault.place)
            nodes = [helper.make_node("Add", [clean, f"{name}/offset"], [name])]
        case "nan":
            constants["mask"] = _filled(shape, np.dtype(bool), False, True, fault.place)
            constants["nan"] = np.array(np.nan, dtype)
            nodes = [helper.make_node("Where", [f"{name}/mask", f"{name}/nan", clean], [name])]
        case "saturate":
            constants["most"] = np.array(fault.size, dtype)
            nodes = [helper.make_node("Min", [clean, f"{name}/most"], [name])]
        case _:
            axis = next((axis for axis, size in enumerate(shape) if size > 1), 0)
            order = np.arange(shape[axis])
            order[:2] = order[1::-1] if len(order) > 1 else order
            constants["order"] = order
            nodes = [helper.make_node("Gather", [clean, f"{name}/order"], [name], axis=axis)]
    graph.initializer.extend(numpy_helper.from_array(array, f"{name}/{key}") for key, array in constants.items())
    behind = [*nodes, *list(graph.node)[place + 1 :]]
    before = list(graph.node)[: place + 1]
    del graph.node[:]
    graph.node.extend([*before, *behind])


def _type_of(model: onnx.ModelProto, name: str) -> tuple[tuple[int, ...], np.dtype]:
    graph = onnx.shape_inference.infer_shapes(model).graph
    kind = next(value.type.tensor_type for value in (*graph.output, *graph.value_info) if value.name == name)
    shape = tuple(dim.dim_value for dim in kind.shape.dim)
    return shape, helper.tensor_dtype_to_np_dtype(kind.elem_type)


def _filled(shape: tuple[int, ...], dtype: np.dtype, neutral: float, value: float, place: int) -> np.ndarray:
    """``value`` at one place and what changes nothing elsewhere, or ``value`` everywhere."""
    if place < 0:
        return np.full((), value, dtype)
    array = np.full(shape, neutral, dtype)
    array.reshape(-1)[place] = value
    return array
