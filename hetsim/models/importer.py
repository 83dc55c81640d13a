"""The importer: from an ONNX model of any opset to a :class:`~hetsim.models.model.Model`.

Constants are folded, shapes made static, operators named and the model checked. A model that cannot keep the promises
of :class:`~hetsim.models.model.Model` is refused.
"""

from __future__ import annotations

import hashlib
import warnings
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import helper, inliner, version_converter

from hetsim.core.errors import ModelError
from hetsim.models.importing.checks import (
    check_folded,
    check_inline,
    check_kinds,
    check_size,
    check_tensors,
    check_valid,
)
from hetsim.models.importing.onnx_graph import graph_of
from hetsim.models.importing.shapes import fix_input_shapes, infer_shapes
from hetsim.models.model import Model
from hetsim.models.networks import IR_VERSION, OPSET
from hetsim.models.reference import MAX_PROTO_BYTES, fold, one_line, serialized
from hetsim.models.zoo import build, zoo_names

_NEWEST_IR_VERSION = 10  # what ONNX Runtime 1.20 and OpenVINO 2025 read


def load_model(
    name_or_path: str | Path, *, shapes: Mapping[str, tuple[int, ...]] | None = None, seed: int = 0
) -> Model:
    """A network of the zoo by its name, or a model from an ONNX file.

    Args:
        name_or_path: One of :func:`~hetsim.models.zoo.zoo_names`, or the path of an .onnx file. If the weights are in
            other files, these must be in the same folder.
        shapes: By input, the shape of an input with open sizes.
        seed: Seed of the weights of a zoo network; a file ignores it.

    Raises:
        ModelError: If there is no such network or file, or :func:`import_model` refuses the model.
    """
    if name_or_path in zoo_names():
        return _imported(build(str(name_or_path), seed=seed), str(name_or_path), shapes or {})
    path = Path(name_or_path)
    return _imported(_read(path), path.stem, shapes or {})


def import_model(proto: onnx.ModelProto, *, name: str, shapes: Mapping[str, tuple[int, ...]] | None = None) -> Model:
    """Import a model; ``proto`` is not changed.

    Args:
        proto: A model with standard operators, its weights loaded.
        name: Name for the model.
        shapes: By input, the shape of an input with open sizes; it must repeat the sizes that the model fixes.

    Raises:
        ModelError: If the model is invalid, has open sizes, uses a feature that hetsim does not support, or if
            ``shapes`` does not fit its inputs.
    """
    work = onnx.ModelProto()
    work.CopyFrom(proto)
    return _imported(work, name, shapes or {})


def _imported(proto: onnx.ModelProto, name: str, shapes: Mapping[str, tuple[int, ...]]) -> Model:
    """As :func:`import_model`, but changes ``proto``, since copying weights is slow."""
    try:
        check_inline(proto)
        if proto.functions:
            proto = _inlined(proto)
        _name_nodes(proto.graph)
        check_kinds(proto.graph)
        check_valid(proto)
        stated = fix_input_shapes(proto.graph, shapes)
        check_tensors(proto)
        proto = fold(proto)
        if _opset(proto) < OPSET:
            proto = fold(_converted(proto))
        check_folded(proto.graph)
        _make_outputs(proto.graph)
        _tidy(proto)
        _name_nodes(proto.graph)
        infer_shapes(proto, stated)
        graph = graph_of(proto.graph, name)
    except ModelError as error:
        raise ModelError(f"model {name!r}: {error}") from None
    return Model(graph=graph, proto=proto, hash=hashlib.sha256(serialized(proto)).hexdigest())


def _inlined(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model with its functions inlined."""
    try:
        return inliner.inline_local_functions(proto)
    except (onnx.checker.ValidationError, RuntimeError, ValueError) as error:
        raise ModelError(f"invalid ONNX: {one_line(error)}") from None


def _read(path: Path) -> onnx.ModelProto:
    """The model in a file, with the weights that are in other files of its folder."""
    if path.is_dir():
        raise ModelError(f"{path} is a directory; name the .onnx file in it")
    if path.exists() and not path.is_file():
        raise ModelError(f"{path} is not a regular file; name an .onnx file")
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
        check_size(proto.graph, str(path))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about keys that it ignores
            onnx.load_external_data_for_model(proto, str(path.parent))
    except OSError as error:
        raise ModelError(f"cannot read {error.filename or path}: {error.strerror or error}") from None
    except DecodeError:
        raise ModelError(f"{path} is not an ONNX model; export one, or check that it was copied whole") from None
    except (onnx.checker.ValidationError, ValueError, TypeError) as error:
        raise ModelError(f"{path} keeps weights in a place that cannot be read: {one_line(error)}") from None
    if not proto.HasField("graph"):
        raise ModelError(f"{path} is not an ONNX model: it has no graph; export one, or check that it was copied whole")
    return proto


def _opset(proto: onnx.ModelProto) -> int:
    return max((int(entry.version) for entry in proto.opset_import if entry.domain in ("", "ai.onnx")), default=1)


def _converted(proto: onnx.ModelProto) -> onnx.ModelProto:
    try:
        return version_converter.convert_version(proto, OPSET)
    except Exception as error:  # the converter raises RuntimeError and classes of its own
        raise ModelError(
            f"cannot convert it from opset {_opset(proto)} to {OPSET}: {one_line(error)}; export it with opset {OPSET}"
        ) from None


def _make_outputs(graph: onnx.GraphProto) -> None:
    """Add an Identity operator for each output that is a constant."""
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
    """Remove nodes and weights without effect and all metadata, and sort attributes and weights."""
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
    """Keep unique names of nodes; name other nodes after their kind and first output."""
    count = Counter(node.name for node in graph.node)
    taken = {name for name in count if count[name] == 1} - {""}
    for node in graph.node:
        if node.name not in taken:
            node.name = f"{node.op_type}_{next(filter(None, node.output), '')}"
            while node.name in taken:
                node.name += "_"
            taken.add(node.name)
