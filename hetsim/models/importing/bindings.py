"""What the user decides about inputs: the sizes of open dimensions, and values that are fixed."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import onnx
from onnx import helper, numpy_helper

from hetsim.core.errors import ModelError
from hetsim.models.importing.normal import replace
from hetsim.models.importing.shapes import is_static
from hetsim.models.nodes import names_read

_NAMELESS = ("", "?", "None", "none", "null")  # what exporters write for a dimension that has no name


def fix_input_shapes(graph: onnx.GraphProto, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, onnx.TypeProto]:
    """Give every dimension of every input its size, and remove the stated types of other tensors.

    A size given for a named dimension holds for all inputs with that name whose shape is not given; a dimension named
    as :data:`_NAMELESS` has no name. Inputs that no operator reads, and inputs other than tensors of numbers, may keep
    open sizes.

    Returns:
        By tensor, the removed types that are static; empty if a size of an input was open, since stated types may then
        belong to another size.

    Raises:
        ModelError: If a shape contradicts the model, or a size stays open.
    """
    inputs = {value.name: value for value in graph.input}
    stated = {
        value.name: onnx.TypeProto.FromString(value.type.SerializeToString())
        for value in (*graph.value_info, *graph.output)
        if is_static(value.type)
    }
    were = [value.type.SerializeToString() for value in graph.input]
    sizes: dict[str, set[int]] = {}  # by name of a dimension, what the given shapes make it
    for name, shape in shapes.items():
        if name not in inputs:
            raise ModelError(f"--shape names input {name!r}, but the inputs are {', '.join(inputs)}")
        _fix_shape(inputs[name], shape, sizes)
    read = {name for node in graph.node for name in names_read(node)} | {value.name for value in graph.output}
    for name, value in inputs.items():
        if name not in shapes and name in read and _needs_sizes(value):
            _take_sizes(value, sizes)
    for value in graph.output:
        if value.type.WhichOneof("value") == "tensor_type":
            value.type.tensor_type.ClearField("shape")
    del graph.value_info[:]
    return stated if were == [value.type.SerializeToString() for value in graph.input] else {}


def _needs_sizes(value: onnx.ValueInfoProto) -> bool:
    return value.type.HasField("tensor_type") and value.type.tensor_type.elem_type != onnx.TensorProto.STRING


def _take_sizes(value: onnx.ValueInfoProto, sizes: Mapping[str, set[int]]) -> None:
    """Give an input the sizes that were given for its dimensions' names.

    Raises:
        ModelError: If a size stays open.
    """
    name, tensor = value.name, value.type.tensor_type
    if not tensor.HasField("shape"):
        raise ModelError(f"input {name!r} has no shape; give it one, such as --shape {name}=1,3,224,224")
    shown = [_shown(dim) for dim in tensor.shape.dim]
    for i, dim in enumerate(tensor.shape.dim):
        given = sizes.get(_name(dim), set())
        if len(given) == 1:
            dim.dim_value = next(iter(given))
        elif dim.dim_value <= 0:  # old exporters write 0 where a size is open
            example = ",".join(size if size.isdigit() else "1" for size in shown)
            raise ModelError(
                f"input {name!r} of shape ({', '.join(shown)}) leaves dimension {i} ({shown[i]}) open; "
                f"give its sizes, such as --shape {name}={example}"
            )


def _name(dim: onnx.TensorShapeProto.Dimension) -> str:
    """The name of an open dimension; empty if it has none."""
    return "" if dim.dim_param in _NAMELESS else dim.dim_param


def bind_values(graph: onnx.GraphProto, values: Mapping[str, np.ndarray]) -> None:
    """Turn inputs into constants.

    Args:
        graph: The graph, whose inputs have sizes.
        values: By input, its value.

    Raises:
        ModelError: If there is no such input, or the value does not fit its type or shape.
    """
    inputs = {value.name: value for value in graph.input}
    for name, given in values.items():
        if name not in inputs:
            raise ModelError(f"--fix names input {name!r}, but the inputs are {', '.join(inputs)}")
        kind = inputs[name].type.tensor_type
        if inputs[name].type.WhichOneof("value") != "tensor_type":
            raise ModelError(f"--fix names input {name!r}, which is no tensor; only tensors can be fixed")
        dtype = helper.tensor_dtype_to_np_dtype(kind.elem_type)
        array = np.asarray(given).astype(dtype)
        if not np.array_equal(array, given):
            raise ModelError(f"--fix gives input {name!r} the value {given}, which is no {dtype}")
        sizes = [dim.dim_value if dim.HasField("dim_value") else -1 for dim in kind.shape.dim]
        if array.ndim == 0 and math.prod(sizes) == 1:
            array = array.reshape([1] * len(sizes))
        fits = len(sizes) == array.ndim and all(
            a in (b, -1) or b == -1 for a, b in zip(array.shape, sizes, strict=True)
        )
        if kind.HasField("shape") and not fits:
            raise ModelError(f"--fix gives input {name!r} the shape {list(array.shape)}, but the model says {sizes}")
        graph.initializer.append(numpy_helper.from_array(array, name))
    replace(graph.input, [value for value in graph.input if value.name not in values])


def _fix_shape(value: onnx.ValueInfoProto, shape: tuple[int, ...], sizes: dict[str, set[int]]) -> None:
    """Give an input the shape that the user asks for, unless it contradicts the model, and note what it says of names.

    Raises:
        ModelError: If it contradicts the model, or the input is no tensor.
    """
    asked = f"--shape {value.name}={','.join(map(str, shape))}"
    if not value.type.HasField("tensor_type"):
        raise ModelError(f"{asked} gives a shape to a {value.type.WhichOneof('value')}; only tensors have one")
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        tensor.shape.dim.extend(onnx.TensorShapeProto.Dimension() for _ in shape)
    dims = tensor.shape.dim
    stated = f"({', '.join(_shown(dim) for dim in dims)})"
    if len(dims) != len(shape):
        raise ModelError(f"{asked} has {len(shape)} dimensions, but the input is {stated}; give {len(dims)}")
    for i, (dim, size) in enumerate(zip(dims, shape, strict=True)):
        if size < 0:
            raise ModelError(f"{asked} makes dimension {i} {size}; sizes must not be negative")
        if dim.dim_value > 0 and dim.dim_value != size:
            raise ModelError(f"{asked} makes dimension {i} {size}, but the model fixes the input at {stated}")
        if _name(dim):
            sizes.setdefault(dim.dim_param, set()).add(size)
        dim.dim_value = size


def _shown(dim: onnx.TensorShapeProto.Dimension) -> str:
    return str(dim.dim_value) if dim.dim_value > 0 else _name(dim) or "?"
