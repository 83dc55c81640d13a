"""From an ONNX model, whatever its age, to a :class:`Model`: folded, static, named, checked, and as a graph.

Everything downstream may rely on what :class:`Model` promises, so all that cannot be promised is refused here.
"""

from __future__ import annotations

import hashlib
import math
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType

import numpy as np
import onnx
from google.protobuf.message import DecodeError, Message  # type: ignore[import-untyped]
from onnx import helper, inliner, shape_inference, version_converter

from hetsim.core.errors import ModelError
from hetsim.core.graph import Graph
from hetsim.models.networks import IR_VERSION, OPSET
from hetsim.models.onnx_graph import graph_of, item_bytes, label
from hetsim.models.reference import MAX_PROTO_BYTES, fold, one_line, serialized
from hetsim.models.weights import WeightSlice
from hetsim.models.zoo import build, zoo_names

_NEWEST_IR_VERSION = 10  # what ONNX Runtime 1.20 and OpenVINO 2025 read
_SEPARATE_WEIGHTS_IR_VERSION = 4  # the first in which a weight need not be an input
_DOMAINS = ("", "ai.onnx", "ai.onnx.ml")
_KEEPS_SHAPE = (
    "Abs",
    "Cast",
    "Exp",
    "Identity",
    "Log",
    "Neg",
    "Relu",
    "Sigmoid",
    "Sqrt",
    "Tanh",
)  # so it is the input's
_MAX_LIGHT_ITEMS = 64  # shapes, axes and pads are shorter, and shape inference reads their values


@dataclass(frozen=True, eq=False, kw_only=True)
class Model:
    """A network ready to be cut, compiled and executed.

    Attributes:
        graph: What hetsim knows of it.
        proto: The same as ONNX: constants folded, at least opset 17 and IR version 8, every tensor of static shape,
            weights inline and never inputs, every output made by an operator, nodes in the order and under the names of
            ``graph.ops``, none without effect. Not to be changed.
        hash: SHA-256 in hex over structure and weights; names of files and tools leave it as it is.
        base: The model that this one was rewritten from; None for one that was imported. A rewritten model computes
            the same and has the same hash. Its ``proto`` lacks the weights, which stay with its base.
        weight_slices: Weights of a rewritten model that are parts of its base's, by name.
        origins: By operator of a rewritten model that does a part of what one of the base does, that operator and
            which share of it, from 0 to 1.
        rewrites: Models that were rewritten from this one, by what was asked, so that none is made twice.
    """

    graph: Graph
    proto: onnx.ModelProto
    hash: str
    base: Model | None = None
    weight_slices: Mapping[str, WeightSlice] = field(default_factory=dict)
    origins: Mapping[str, tuple[str, float]] = field(default_factory=dict)
    rewrites: dict[object, object] = field(default_factory=dict, repr=False)

    @property
    def name(self) -> str:
        """What people call the network."""
        return self.graph.name

    @cached_property
    def nodes(self) -> Mapping[str, onnx.NodeProto]:
        """The ONNX node of each operator, by name."""
        return MappingProxyType({node.name: node for node in self.proto.graph.node})

    @cached_property
    def original_op(self) -> Mapping[str, str]:
        """By operator, the one of the base that it is or computes a part of; without those that only move tensors."""
        return MappingProxyType(
            {
                op.name: self.origins[op.name][0] if op.name in self.origins else op.name
                for op in self.graph.ops
                if not op.moves_data
            }
        )

    @cached_property
    def weights(self) -> Mapping[str, onnx.TensorProto]:
        """Its weights by name, with those of its base, without those that are parts of these."""
        own = {tensor.name: tensor for tensor in self.proto.graph.initializer}
        return MappingProxyType(own if self.base is None else {**self.base.weights, **own})

    def standalone_proto(self) -> onnx.ModelProto:
        """The model as ONNX with all that it needs; that of a rewritten model is a copy with its weights."""
        if self.base is None:
            return self.proto
        proto = onnx.ModelProto()
        proto.CopyFrom(self.proto)
        here = {tensor.name for tensor in proto.graph.initializer}
        read = dict.fromkeys(name for node in proto.graph.node for name in node.input if name not in here)
        for name in read:
            if name in self.weight_slices:
                part = self.weight_slices[name]
                proto.graph.initializer.append(part.tensor(name, self.weights[part.source]))
            elif name in self.weights:
                proto.graph.initializer.append(self.weights[name])
        return proto


def load_model(
    name_or_path: str | Path, *, shapes: Mapping[str, tuple[int, ...]] | None = None, seed: int = 0
) -> Model:
    """A network of the zoo by name, or a model from an ONNX file.

    Args:
        name_or_path: One of :func:`~hetsim.models.zoo.zoo_names`, or the path of an .onnx file; weights that it keeps
            in other files must lie in its folder.
        shapes: Sizes for inputs that leave some open, by input.
        seed: Draws the weights of a network of the zoo; without effect on a file.

    Raises:
        ModelError: If there is no such network or file, or it is nothing that :func:`import_model` takes.
    """
    if name_or_path in zoo_names():
        return _imported(build(str(name_or_path), seed=seed), str(name_or_path), shapes or {})
    path = Path(name_or_path)
    return _imported(_read(path), path.stem, shapes or {})


def import_model(proto: onnx.ModelProto, *, name: str, shapes: Mapping[str, tuple[int, ...]] | None = None) -> Model:
    """The model that ``proto`` holds, with the promises of :class:`Model`; ``proto`` stays as it is.

    Args:
        proto: A model with standard operators, its weights loaded.
        name: What to call it.
        shapes: Sizes for inputs that leave some open, by input; sizes that an input states must be repeated.

    Raises:
        ModelError: If the model is invalid, leaves sizes open, uses what hetsim does not support, or ``shapes``
            does not fit its inputs.
    """
    work = onnx.ModelProto()
    work.CopyFrom(proto)
    return _imported(work, name, shapes or {})


def random_inputs(model: Model, *, seed: int = 0) -> dict[str, np.ndarray]:
    """A value for each input of the model, the same ones for the same seed.

    Floats are drawn from the standard normal distribution. Integers and booleans are 0 or 1, so that they do as
    indices into any table with two rows.
    """
    rng = np.random.default_rng(seed)
    values: dict[str, np.ndarray] = {}
    for name in model.graph.inputs:
        tensor = model.graph.tensors[name]
        dtype = np.dtype(tensor.dtype)
        numbers = rng.standard_normal(tensor.shape) if dtype.kind == "f" else rng.integers(0, 2, tensor.shape)
        values[name] = np.asarray(numbers).astype(dtype)
    return values


def _imported(proto: onnx.ModelProto, name: str, shapes: Mapping[str, tuple[int, ...]]) -> Model:
    """What :func:`import_model` returns, from a ``proto`` that may be changed: weights are heavy to copy."""
    try:
        _check_inline(proto)
        if proto.functions:
            proto = _inlined(proto)
        _name_nodes(proto.graph)
        _check_kinds(proto.graph)
        _check_valid(proto)
        stated = _settle_inputs(proto.graph, shapes)
        _check_tensors(proto)
        proto = fold(proto)
        if _opset(proto) < OPSET:
            proto = fold(_converted(proto))
        _check_folded(proto.graph)
        _make_outputs(proto.graph)
        _tidy(proto)
        _name_nodes(proto.graph)
        _infer_shapes(proto, stated)
        graph = graph_of(proto.graph, name)
    except ModelError as error:
        raise ModelError(f"model {name!r}: {error}") from None
    return Model(graph=graph, proto=proto, hash=hashlib.sha256(serialized(proto)).hexdigest())


def _inlined(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model with its own functions written out."""
    try:
        return inliner.inline_local_functions(proto)
    except (onnx.checker.ValidationError, RuntimeError, ValueError) as error:
        raise ModelError(f"invalid ONNX: {one_line(error)}") from None


def _check_inline(proto: onnx.ModelProto) -> None:
    """Refuse weights that are still in other files, where an engine would look for them, and names that are no text."""
    pending: list[Message] = [proto]
    while pending:
        message = pending.pop()
        if isinstance(message, onnx.TensorProto):
            if message.data_location == onnx.TensorProto.EXTERNAL:
                raise ModelError(f"weight {message.name!r} is in another file; load the model with its weights")
            continue
        for known, value in message.ListFields():
            if known.type == known.TYPE_STRING:
                for text in value if isinstance(value, Sequence) and not isinstance(value, (str, bytes)) else [value]:
                    _check_text(text)
            elif known.message_type is not None:
                pending.extend(value if isinstance(value, Sequence) or hasattr(value, "extend") else [value])


def _check_text(text: str | bytes) -> None:
    """Protobuf lets any bytes through as text."""
    try:
        if isinstance(text, str):
            text.encode("utf-8")
            return
    except UnicodeEncodeError:
        pass
    raise ModelError(f"invalid ONNX: the name {text!r} is not Unicode; export the model anew")


def _read(path: Path) -> onnx.ModelProto:
    """The model in a file, with the weights that it keeps in other files of its folder."""
    if path.is_dir():
        raise ModelError(f"{path} is a directory; name the .onnx file in it")
    if path.exists() and not path.is_file():
        raise ModelError(f"{path} is no regular file; name an .onnx file")
    if not path.exists():
        raise ModelError(
            f"no model {str(path)!r}: no such file, and the zoo has {', '.join(zoo_names())}; "
            "give one of these names or the path of an .onnx file"
        )
    try:
        if path.stat().st_size > MAX_PROTO_BYTES:
            raise ModelError(
                f"{path} has {path.stat().st_size / 1e9:.1f} GB, more than the {MAX_PROTO_BYTES / 1e9:.1f} GB that a "
                "protobuf message can hold; store its weights in a file beside it"
            )
        proto = onnx.load(path, load_external_data=False)
        _check_size(proto.graph, str(path))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about keys that it passes over
            onnx.load_external_data_for_model(proto, str(path.parent))
    except OSError as error:
        raise ModelError(f"cannot read {error.filename or path}: {error.strerror or error}") from None
    except DecodeError:
        raise ModelError(f"{path} is not an ONNX model; export one, or check that it was copied whole") from None
    except (onnx.checker.ValidationError, ValueError, TypeError) as error:
        raise ModelError(f"{path} keeps weights where they cannot be read from: {one_line(error)}") from None
    if not proto.HasField("graph"):
        raise ModelError(f"{path} is not an ONNX model: it has no graph; export one, or check that it was copied whole")
    return proto


def _check_size(graph: onnx.GraphProto, name: str) -> None:
    num_bytes = sum(math.prod(tensor.dims) * item_bytes(tensor.data_type) for tensor in graph.initializer)
    if num_bytes > MAX_PROTO_BYTES:
        raise ModelError(
            f"{name} has {min(num_bytes, 10**18) / 1e9:.1f} GB of weights, more than the {MAX_PROTO_BYTES / 1e9:.1f} "
            "GB that a protobuf message can hold; split the model, or store its weights in float16"
        )


def _check_kinds(graph: onnx.GraphProto) -> None:
    """Refuse what is no standard operator."""
    for node in graph.node:
        if node.domain not in _DOMAINS:
            raise ModelError(
                f"operator {label(node)} is of domain {node.domain!r}; hetsim knows only the operators of the ONNX "
                "standard, export the model without that domain"
            )
        if not onnx.defs.has(node.op_type, node.domain.removesuffix("ai.onnx")):
            raise ModelError(
                f"operator {label(node)} is of a kind that ONNX {onnx.__version__} does not have; replace it by "
                "standard operators"
            )


def _check_valid(proto: onnx.ModelProto) -> None:
    """Have onnx check the model; and make constants of initializers that are inputs too, as before IR version 4."""
    light = _light(proto)
    for value in (*light.graph.input, *light.graph.output):
        if value.type.WhichOneof("value") == "tensor_type":
            value.type.tensor_type.shape.SetInParent()  # the checker wants a shape, inference can do without
    try:
        onnx.checker.check_model(light)
    except (onnx.checker.ValidationError, ValueError) as error:
        raise ModelError(f"invalid ONNX: {one_line(error)}") from None
    constants = {tensor.name for tensor in proto.graph.initializer}
    inputs = [value for value in proto.graph.input if value.name not in constants]
    del proto.graph.input[:]
    proto.graph.input.extend(inputs)
    proto.ir_version = max(proto.ir_version, _SEPARATE_WEIGHTS_IR_VERSION)


def _light(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model with its larger weights as inputs: enough to check it and to infer shapes, and a thousandth to copy."""
    graph = onnx.GraphProto(
        name=proto.graph.name,
        node=proto.graph.node,
        input=proto.graph.input,
        output=proto.graph.output,
        sparse_initializer=proto.graph.sparse_initializer,
    )
    inputs = {value.name for value in graph.input}
    for tensor in proto.graph.initializer:
        if math.prod(tensor.dims) <= _MAX_LIGHT_ITEMS:
            graph.initializer.append(tensor)
        elif tensor.name not in inputs:
            graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    return onnx.ModelProto(ir_version=proto.ir_version, opset_import=proto.opset_import, graph=graph)


def _check_tensors(proto: onnx.ModelProto) -> None:
    """Refuse tensors that no memory holds before an engine computes constants: a few bytes may ask for terabytes."""
    try:
        inferred = shape_inference.infer_shapes(_light(proto), data_prop=True)
    except (shape_inference.InferenceError, ValueError, RuntimeError):
        return  # whoever folds constants finds out what is wrong
    for value in (*inferred.graph.input, *inferred.graph.value_info, *inferred.graph.output):
        kind = value.type.tensor_type
        num_bytes = math.prod(dim.dim_value for dim in kind.shape.dim) * item_bytes(kind.elem_type)
        if _is_static(value.type) and num_bytes > MAX_PROTO_BYTES:
            raise ModelError(
                f"tensor {value.name!r} has {min(num_bytes, 10**18) / 1e9:.1f} GB, more than the "
                f"{MAX_PROTO_BYTES / 1e9:.1f} GB that are supported; use smaller shapes"
            )


def _settle_inputs(graph: onnx.GraphProto, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, onnx.TypeProto]:
    """Give every dimension of every input its size, and forget what the model states of other tensors.

    Returns:
        What was forgotten, by tensor, as far as it is static; nothing if a size of an input was open, for then it may
        have followed from another one.
    """
    inputs = {value.name: value for value in graph.input}
    stated = {
        value.name: onnx.TypeProto.FromString(value.type.SerializeToString())
        for value in (*graph.value_info, *graph.output)
        if _is_static(value.type)
    }
    were = [value.type.SerializeToString() for value in graph.input]
    sizes: dict[str, tuple[int, str]] = {}  # what a symbolic dimension is, and which input says so
    for name, shape in shapes.items():
        if name not in inputs:
            raise ModelError(f"--shape names input {name!r}, but the inputs are {', '.join(inputs)}")
        _settle(inputs[name], shape, sizes)
    for name, value in inputs.items():
        if not value.type.HasField("tensor_type"):
            raise ModelError(f"input {name!r} is a {value.type.WhichOneof('value')}; hetsim supports only tensors")
        shown = [_shown(dim) for dim in value.type.tensor_type.shape.dim]
        if not value.type.tensor_type.HasField("shape"):
            raise ModelError(f"input {name!r} has no shape; give it one, such as --shape {name}=1,3,224,224")
        for i, dim in enumerate(value.type.tensor_type.shape.dim):
            if dim.dim_param in sizes:
                dim.dim_value = sizes[dim.dim_param][0]
            if dim.dim_value <= 0 and name not in shapes:  # old exporters write 0 where a size is open
                example = ",".join(size if size.isdigit() else "1" for size in shown)
                raise ModelError(
                    f"input {name!r} of shape ({', '.join(shown)}) leaves dimension {i} ({shown[i]}) open; "
                    f"give its sizes, such as --shape {name}={example}"
                )
    for value in graph.output:
        if value.type.WhichOneof("value") not in (None, "tensor_type"):
            raise ModelError(
                f"output {value.name!r} is a {value.type.WhichOneof('value')}; hetsim supports only tensors"
            )
        value.type.tensor_type.ClearField("shape")
    del graph.value_info[:]
    return stated if were == [value.type.SerializeToString() for value in graph.input] else {}


def _is_static(kind: onnx.TypeProto) -> bool:
    return kind.tensor_type.HasField("shape") and all(
        dim.HasField("dim_value") and dim.dim_value >= 0 for dim in kind.tensor_type.shape.dim
    )


def _settle(value: onnx.ValueInfoProto, shape: tuple[int, ...], sizes: dict[str, tuple[int, str]]) -> None:
    """Give an input the shape that the user asks for, where it does not contradict what the model says."""
    asked = f"--shape {value.name}={','.join(map(str, shape))}"
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
        if dim.dim_param:
            known, source = sizes.setdefault(dim.dim_param, (size, value.name))
            if known != size:
                raise ModelError(f"{asked} makes {dim.dim_param!r} {size}, but for input {source!r} it is {known}")
        dim.dim_value = size


def _shown(dim: onnx.TensorShapeProto.Dimension) -> str:
    return str(dim.dim_value) if dim.dim_value > 0 else dim.dim_param or "?"


def _opset(proto: onnx.ModelProto) -> int:
    return max((int(entry.version) for entry in proto.opset_import if entry.domain in ("", "ai.onnx")), default=1)


def _converted(proto: onnx.ModelProto) -> onnx.ModelProto:
    try:
        return version_converter.convert_version(proto, OPSET)
    except Exception as error:  # the converter raises RuntimeError and classes of its own
        raise ModelError(
            f"cannot convert it from opset {_opset(proto)} to {OPSET}: {one_line(error)}; export it with opset {OPSET}"
        ) from None


def _check_folded(graph: onnx.GraphProto) -> None:
    """Refuse control flow and sparse weights that folding leaves."""
    for node in graph.node:
        if any(attribute.type in (attribute.GRAPH, attribute.GRAPHS) for attribute in node.attribute):
            raise ModelError(
                f"operator {label(node)} is control flow, whose course depends on the data; export the model with "
                "its branches decided and its loops unrolled"
            )
    if graph.sparse_initializer:
        raise ModelError(f"weight {graph.sparse_initializer[0].values.name!r} is sparse; store it as a dense tensor")


def _make_outputs(graph: onnx.GraphProto) -> None:
    """Have an Identity make each output that is a constant."""
    outputs = {value.name for value in graph.output}
    taken = {tensor for node in graph.node for tensor in (*node.input, *node.output)}
    for weight in graph.initializer:
        if weight.name not in outputs:
            continue
        output = weight.name
        while weight.name in taken | outputs:
            weight.name += "_"
        taken.add(weight.name)
        for node in graph.node:
            for i, tensor in enumerate(node.input):
                if tensor == output:
                    node.input[i] = weight.name
        graph.node.append(helper.make_node("Identity", [weight.name], [output]))


def _tidy(proto: onnx.ModelProto) -> None:
    """Drop nodes and weights without effect and every trace of tools; put what has no order into one."""
    graph = proto.graph
    needed = {value.name for value in graph.output}
    nodes: list[onnx.NodeProto] = []
    for node in reversed(graph.node):
        if not needed.isdisjoint(node.output):
            needed.update(tensor for tensor in node.input if tensor)
            node.attribute.sort(key=lambda attribute: attribute.name)
            nodes.append(node)
    nodes.reverse()
    for i in reversed(range(len(graph.initializer))):
        if graph.initializer[i].name not in needed:
            del graph.initializer[i]
    graph.initializer.sort(key=lambda tensor: tensor.name)
    for message in (graph, *graph.input, *graph.output, *nodes, *graph.initializer):
        message.ClearField("doc_string")
        message.ClearField("metadata_props")
    del graph.node[:], graph.value_info[:], graph.quantization_annotation[:]
    graph.node.extend(nodes)
    graph.name = "graph"
    version = min(max(proto.ir_version, IR_VERSION), _NEWEST_IR_VERSION)
    ml = {node.domain for node in nodes} & {"ai.onnx.ml"}
    opsets = [helper.make_opsetid("", _opset(proto))]
    opsets += [helper.make_opsetid(e.domain, e.version) for e in proto.opset_import if e.domain in ml]
    for known, _ in proto.ListFields():
        if known.name != "graph":
            proto.ClearField(known.name)
    proto.ir_version = version
    proto.opset_import.extend(opsets)


def _name_nodes(graph: onnx.GraphProto) -> None:
    """Keep the names that only one node bears; name the others by their kind and what they make first."""
    count = Counter(node.name for node in graph.node)
    taken = {name for name in count if count[name] == 1} - {""}
    for node in graph.node:
        if node.name not in taken:
            node.name = f"{node.op_type}_{next(filter(None, node.output), '')}"
            while node.name in taken:
                node.name += "_"
            taken.add(node.name)


def _infer_shapes(proto: onnx.ModelProto, stated: Mapping[str, onnx.TypeProto]) -> None:
    """Fill in the shape of every tensor; where it depends on data, the model's word counts.

    Engines hold their outputs against it: a wrong one is an error once the model runs.
    """
    light = _light(proto)
    inferred = _inferred(light)
    types = {value.name: value.type for value in (*inferred.graph.value_info, *inferred.graph.output)}
    outputs = {value.name: value for value in light.graph.output}
    added = 0
    for node in reversed(light.graph.node):
        for tensor in node.output:
            if tensor in stated and tensor in types and not _is_static(types[tensor]):
                types[tensor].tensor_type.shape.CopyFrom(stated[tensor].tensor_type.shape)
                if tensor in outputs:
                    outputs[tensor].type.CopyFrom(types[tensor])
                else:
                    light.graph.value_info.append(onnx.ValueInfoProto(name=tensor, type=types[tensor]))
                added += 1
        if node.op_type in _KEEPS_SHAPE and node.output[0] in types and _is_static(types[node.output[0]]):
            stated = {**stated, node.input[0]: types[node.output[0]]}
    if added:
        inferred = _inferred(light)
    del proto.graph.output[:]
    proto.graph.output.extend(inferred.graph.output)
    proto.graph.value_info.extend(inferred.graph.value_info)


def _inferred(light: onnx.ModelProto) -> onnx.ModelProto:
    try:
        return shape_inference.infer_shapes(light, check_type=True, strict_mode=True, data_prop=True)
    except (shape_inference.InferenceError, ValueError) as error:
        raise ModelError(f"shapes do not fit: {one_line(error)}") from None
