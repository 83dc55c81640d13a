"""Spoiling files: any bytes, values in a tree of JSON or TOML, cells of a table, messages of an ONNX model."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from itertools import islice
from random import Random
from typing import Any

import onnx
import tomli_w

_MAX_PLACES = 5000

_TOKENS = (
    b"", b"0", b"-1", b"1e999", b"NaN", b"Infinity", b"-0.0", b"9" * 400, b"1" + b"0" * 18, b"null", b"true", b'""',
    b"[]", b"{}", b"[" * 5000, b'{"a":' * 3000, b"\x00", b"\xff\xfe", b"\xf0\x9f", b"\r\n", b"'", b'"', b",", b"=",
    b"../../../etc/passwd", b"/dev/zero", b"__proto__", b"%s%n", b"A" * 5000, b"\xe2\x80\xae", b"\\ud800",
)  # fmt: skip

_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**53 + 1, 2**63, 2**64, 10**30, -(2**63), 0.0, -0.0, 1e-320, 1e308, -1e308,
    float("inf"), float("-inf"), float("nan"), "", " ", "a", "cpu", "npu", "cpu->npu", "->", "../x", "/", "\x00",
    "\ud800", "A" * 3000, [], {}, [[]], [None], {"a": 1}, {"": 0}, [0] * 50, ["a", "a"], [["a", "b", 1]], [-1],
    [4096], [2**40],
)  # fmt: skip

_DIMS = (0, 1, -1, 2, 3, 7, 2**31 - 1, 2**31, 2**62, -(2**63), 10**6, 10**9)
_LOCATIONS = (
    "../secret.bin", "/proc/self/cwd/secret.bin", "link.bin", "sub/../../secret.bin", "./link.bin", "linked/secret.bin",
    "linked/../secret.bin", "..\\secret.bin", "weights.bin", "/dev/zero", "/proc/self/mem", "", ".", "\x00", "no/such",
)  # fmt: skip
_KINDS = (
    "Relu", "Conv", "Reshape", "Expand", "ConstantOfShape", "Tile", "Loop", "If", "Constant", "", "Resize", "NonZero",
    "Pad", "Range", "MatMul", "Gemm", "Split", "Concat", "Identity", "Einsum", "LSTM", "TopK", "Slice",
)  # fmt: skip


def raw(content: bytes, rng: Random) -> bytes:
    """A few bytes changed, lost, doubled, or replaced by what parsers stumble over."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        at = rng.randrange(len(data) + 1)
        end = min(len(data), at + rng.choice((1, 1, 2, 8, 64, 1000)))
        match rng.randrange(6):
            case 0 if data:
                data[min(at, len(data) - 1)] ^= 1 << rng.randrange(8)
            case 1:
                del data[at:end]
            case 2:
                data[at:at] = rng.choice(_TOKENS)
            case 3:
                data[at:end] = rng.choice(_TOKENS)
            case 4:
                data[at:at] = data[at:end] * rng.choice((1, 1, 2, 50))
            case 5:
                del data[at:]
    return bytes(data)


def tree(content: Any, rng: Random) -> Any:
    """Some values of a tree of dictionaries and lists replaced, removed, moved, renamed or repeated; changes it."""
    for _ in range(rng.choice((1, 1, 2, 3, 6))):
        places = list(islice(_places(content), _MAX_PLACES))  # what is repeated is shared, so trees can explode
        if not places:
            return copy.deepcopy(rng.choice(_VALUES))
        parent, key = rng.choice(places)
        match rng.randrange(6):
            case 0 | 1:
                parent[key] = copy.deepcopy(rng.choice(_VALUES))
            case 2:
                del parent[key]
            case 3:
                other, name = rng.choice(places)
                parent[key] = json.loads(json.dumps(other[name], default=str)) if name in _keys(other) else None
            case 4 if isinstance(parent, dict):
                parent[rng.choice(("", "x", "cpu", "npu", "A" * 300, *map(str, parent)))] = parent.pop(key)
            case 4 | 5 if isinstance(parent, list):
                parent.extend([parent[key]] * rng.choice((1, 2, 40 if len(places) < 200 else 1)))
            case _:
                parent[key] = {"": parent[key]} if rng.random() < 0.5 else [parent[key]]
    return content


def as_json(content: Any) -> bytes:
    """A tree as JSON, with whatever Python puts where JSON has no word."""
    return json.dumps(content).encode("utf-8", "surrogatepass")


def as_toml(content: Any) -> bytes:
    """A tree as TOML; as JSON where TOML has no word for it."""
    try:
        return tomli_w.dumps(content).encode("utf-8", "surrogatepass")
    except (TypeError, ValueError, AttributeError):
        return as_json(content)


def table(content: bytes, rng: Random) -> bytes:
    """A CSV with cells, columns or lines changed."""
    rows = [line.split(b",") for line in content.split(b"\n")]
    for _ in range(rng.choice((1, 2, 5))):
        row = rng.choice(rows)
        at = rng.randrange(len(row))
        match rng.randrange(5):
            case 0 | 1:
                row[at] = rng.choice((*_TOKENS, b'"', b'"a\nb"', b"1,2", b"True", b"none"))
            case 2:
                row.append(rng.choice(_TOKENS))
            case 3:
                rows.insert(rng.randrange(len(rows)), list(row))
            case 4 if len(row) > 1:
                del row[at]
    return b"\n".join(b",".join(row) for row in rows)


def text(content: bytes, rng: Random) -> bytes:
    """A text with words changed, lost, moved or doubled, and lines with them."""
    parts = re.split(rb"(\s+|[\[\]{}=;,])", content)
    for _ in range(rng.choice((1, 1, 2, 5))):
        at = rng.randrange(len(parts))
        match rng.randrange(5):
            case 0 | 1:
                parts[at] = rng.choice((*_TOKENS, b"1", b"2", b"0.5", b"1e308", b"a", b"->", b"\n", b"{", b"}"))
            case 2:
                parts.insert(at, rng.choice(parts))
            case 3:
                del parts[at : at + rng.choice((1, 2, 9))]
                parts = parts or [b""]
            case 4:
                parts[at:at] = parts[at : at + rng.choice((2, 9, 40))]
    return b"".join(parts)


def onnx_model(content: bytes, rng: Random) -> bytes:
    """An ONNX model that parses, with fields of any of its messages changed."""
    model = onnx.ModelProto.FromString(content)
    for _ in range(rng.choice((1, 1, 2, 3, 6))):
        rng.choice(_ONNX)(model, rng)
    return bytes(model.SerializeToString())


def _places(content: Any) -> Iterator[tuple[Any, Any]]:
    pending = [content]
    while pending:
        parent = pending.pop()
        for key in _keys(parent):
            yield parent, key
            if isinstance(parent[key], (dict, list)):
                pending.append(parent[key])


def _keys(parent: Any) -> list[Any]:
    return list(parent) if isinstance(parent, dict) else list(range(len(parent))) if isinstance(parent, list) else []


# What can be wrong with an ONNX model, one function each.


def _node(model: onnx.ModelProto, rng: Random) -> onnx.NodeProto:
    return rng.choice(model.graph.node) if model.graph.node else model.graph.node.add(op_type="Relu")


def _names(model: onnx.ModelProto) -> list[str]:
    found = {name for node in model.graph.node for name in (*node.input, *node.output)}
    found |= {value.name for value in (*model.graph.input, *model.graph.initializer)}
    return [*sorted(found), "", "gone", "\x00", "A" * 2000]


def _rewire(model: onnx.ModelProto, rng: Random) -> None:
    node = _node(model, rng)
    ends = rng.choice((node.input, node.output))
    if ends and rng.random() < 0.7:
        ends[rng.randrange(len(ends))] = rng.choice(_names(model))
    elif ends and rng.random() < 0.5:
        del ends[rng.randrange(len(ends))]
    else:
        ends.extend([rng.choice(_names(model))] * rng.choice((1, 1, 30)))


def _rename_kind(model: onnx.ModelProto, rng: Random) -> None:
    node = _node(model, rng)
    node.op_type = rng.choice(_KINDS)
    if rng.random() < 0.2:
        node.domain = rng.choice(("ai.onnx", "ai.onnx.ml", "com.microsoft", "\x00"))
    if rng.random() < 0.3:
        node.name = rng.choice(("", "same", "../x", "A" * 3000, "\u202e", "a\nb"))


def _spoil_attribute(model: onnx.ModelProto, rng: Random) -> None:
    node = _node(model, rng)
    if not node.attribute or rng.random() < 0.3:
        names = (
            "axis",
            "axes",
            "kernel_shape",
            "pads",
            "strides",
            "to",
            "perm",
            "value",
            "group",
            "shape",
            "dilations",
        )
        node.attribute.add(
            name=rng.choice(names), type=rng.randrange(15), i=rng.choice(_DIMS), ints=[rng.choice(_DIMS)] * 2
        )
        return
    attribute = rng.choice(node.attribute)
    match rng.randrange(6):
        case 0:
            attribute.i = rng.choice(_DIMS)
        case 1:
            attribute.ints.extend([rng.choice(_DIMS)] * rng.choice((1, 2, 100)))
        case 2 if attribute.ints:
            attribute.ints[rng.randrange(len(attribute.ints))] = rng.choice(_DIMS)
        case 3:
            attribute.type = rng.randrange(15)
        case 4:
            attribute.f = rng.choice((float("nan"), float("inf"), -1.0, 1e38))
        case _:
            attribute.t.CopyFrom(_tensor(model, rng))
            attribute.type = onnx.AttributeProto.TENSOR


def _tensor(model: onnx.ModelProto, rng: Random) -> onnx.TensorProto:
    return rng.choice(model.graph.initializer) if model.graph.initializer else model.graph.initializer.add(name="w")


def _spoil_weight(model: onnx.ModelProto, rng: Random) -> None:
    tensor = _tensor(model, rng)
    match rng.randrange(6):
        case 0:
            tensor.data_type = rng.choice((*range(24), 99))
        case 1 if tensor.dims:
            tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice(_DIMS)
        case 2:
            tensor.dims.extend([rng.choice(_DIMS)] * rng.choice((1, 1, 200)))
        case 3:
            tensor.raw_data = tensor.raw_data[: rng.randrange(len(tensor.raw_data) + 1)]
        case 4:
            tensor.name = rng.choice(_names(model))
        case _:
            _outside(tensor, rng)


def _outside(tensor: onnx.TensorProto, rng: Random) -> None:
    """Have a weight lie in another file."""
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.ClearField("raw_data")
    del tensor.external_data[:]
    tensor.external_data.add(key="location", value=rng.choice(_LOCATIONS))
    for key in ("offset", "length", "checksum", "x"):
        if rng.random() < 0.4:
            tensor.external_data.add(key=key, value=rng.choice(("0", "64", "-1", "99999999999", "x", "", "1e3")))


def _external(model: onnx.ModelProto, rng: Random) -> None:
    _outside(_tensor(model, rng), rng)


def _external_attribute(model: onnx.ModelProto, rng: Random) -> None:
    node = model.graph.node.add(op_type="Constant", output=["outside"])
    attribute = node.attribute.add(name="value", type=onnx.AttributeProto.TENSOR)
    attribute.t.CopyFrom(onnx.TensorProto(data_type=2, dims=[64], name="outside"))
    _outside(attribute.t, rng)
    if rng.random() < 0.5:
        model.graph.output.add(name="outside").type.tensor_type.elem_type = 2


def _spoil_value(model: onnx.ModelProto, rng: Random) -> None:
    value = rng.choice((*model.graph.input, *model.graph.output, *model.graph.value_info, model.graph.value_info.add()))
    kind = value.type.tensor_type
    match rng.randrange(5):
        case 0:
            kind.elem_type = rng.choice((*range(24), 99))
        case 1 if kind.shape.dim:
            rng.choice(kind.shape.dim).dim_value = rng.choice(_DIMS)
        case 2 if kind.shape.dim:
            rng.choice(kind.shape.dim).dim_param = rng.choice(("n", "", "A" * 1000))
        case 3:
            kind.shape.dim.add(dim_value=rng.choice(_DIMS))
        case _:
            value.name = rng.choice(_names(model))


def _restructure(model: onnx.ModelProto, rng: Random) -> None:
    graph = model.graph
    lists = (graph.node, graph.input, graph.output, graph.initializer, graph.value_info, model.opset_import)
    entries = rng.choice(lists)
    if not entries:
        return
    entry = rng.choice(entries)
    if rng.random() < 0.5:
        entries.remove(entry)
    else:
        entries.extend([entry] * rng.choice((1, 1, 2, 300)))


def _spoil_header(model: onnx.ModelProto, rng: Random) -> None:
    match rng.randrange(4):
        case 0:
            model.ir_version = rng.choice((0, -1, 1, 3, 7, 8, 13, 99, 2**62))
        case 1:
            for entry in model.opset_import:
                entry.version = rng.choice((0, -1, 1, 6, 7, 9, 13, 17, 23, 27, 99, 2**62))
        case 2:
            model.opset_import.add(domain=rng.choice(("", "ai.onnx", "x")), version=rng.choice((1, 17, -1)))
        case 3:
            model.ClearField(rng.choice(("graph", "opset_import", "ir_version")))


def _nest(model: onnx.ModelProto, rng: Random) -> None:
    """Graphs within graphs, or functions that call each other."""
    if rng.random() < 0.5:
        function = model.functions.add(name="F", domain="local", input=["a"], output=["b"])
        function.opset_import.add(domain="", version=17)
        function.opset_import.add(domain="local", version=1)
        function.node.add(
            op_type=rng.choice(("F", "G", "Relu")), domain=rng.choice(("local", "")), input=["a"], output=["b"]
        )
        model.opset_import.add(domain="local", version=1)
        node = _node(model, rng)
        node.op_type, node.domain = "F", "local"
        return
    node = model.graph.node.add(op_type=rng.choice(("If", "Loop", "Scan")), input=["x"], output=["deep"])
    graph = node.attribute.add(name=rng.choice(("then_branch", "body")), type=onnx.AttributeProto.GRAPH).g
    for _ in range(rng.choice((1, 5, 40))):
        inner = graph.node.add(op_type="If", input=["x"], output=["y"])
        graph = inner.attribute.add(name="then_branch", type=onnx.AttributeProto.GRAPH).g


_ONNX: tuple[Callable[[onnx.ModelProto, Random], None], ...] = (
    _rewire, _rewire, _rename_kind, _spoil_attribute, _spoil_weight, _external, _external_attribute, _spoil_value,
    _restructure, _spoil_header, _nest,
)  # fmt: skip
