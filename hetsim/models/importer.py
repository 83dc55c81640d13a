"""The importer: from an ONNX model of any opset to a :class:`~hetsim.models.model.Model`.

Constants are folded, shapes made static, operators named. The model keeps its opset. What ONNX Runtime can run is
taken: operators of other domains, control flow, text and sequences stay together where nothing else is possible
(:mod:`hetsim.models.importing.regions`). At last the result is compared with the user's own file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import onnx
from onnx import helper

from hetsim.core.errors import ModelError
from hetsim.models.importing.bindings import bind_values, fix_input_shapes
from hetsim.models.importing.branches import inline_decided
from hetsim.models.importing.checks import check_inline, check_tensors, explained
from hetsim.models.importing.comparison import check_same
from hetsim.models.importing.constants import fold_constants
from hetsim.models.importing.file import read_model
from hetsim.models.importing.normal import drop_dead, name_nodes, normalize, opset_of, replace
from hetsim.models.importing.onnx_graph import crosses, graph_of, region_name
from hetsim.models.importing.regions import find_regions
from hetsim.models.importing.shapes import infer_shapes
from hetsim.models.model import Model
from hetsim.models.networks import IR_VERSION
from hetsim.models.nodes import inner_graphs, rename_tensors
from hetsim.models.reference import fold, serialized
from hetsim.models.source import Source
from hetsim.models.values.samples import examples_of, observe
from hetsim.models.zoo import build, zoo_names

_Message = TypeVar("_Message", onnx.NodeProto, onnx.TypeProto)
_NEWEST_IR_VERSION = 10  # what ONNX Runtime 1.20 and OpenVINO 2025 read


def load_model(
    name_or_path: str | Path,
    *,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    fixed: Mapping[str, np.ndarray] | None = None,
    custom_ops: Sequence[str | Path] = (),
    seed: int = 0,
) -> Model:
    """A network of the zoo by its name, or a model from an ONNX file.

    Args:
        name_or_path: One of :func:`~hetsim.models.zoo.zoo_names`, or the path of an .onnx file. If the weights are in
            other files, these must be in the same folder.
        shapes: By input, the shape of an input with open sizes.
        fixed: By input, the value that it always has; it is no input any more.
        custom_ops: Libraries of operators for ONNX Runtime.
        seed: Seed of the weights of a zoo network; a file ignores it.

    Raises:
        ModelError: If there is no such network or file, or :func:`import_model` refuses the model.
    """
    if name_or_path in zoo_names():
        proto = build(str(name_or_path), seed=seed)
        return _imported(proto, str(name_or_path), shapes or {}, source=Source(None, fixed or {}))
    path = Path(name_or_path)
    if not path.exists():
        raise ModelError(
            f"no model {str(path)!r}: no such file, and the zoo has {', '.join(zoo_names())}; "
            "give one of these names or the path of an .onnx file"
        )
    libraries = tuple(str(Path(library).resolve()) for library in custom_ops)
    source = Source(partial(read_model, path), fixed or {}, libraries)
    return _imported(read_model(path), path.stem, shapes or {}, source)


def import_model(
    proto: onnx.ModelProto,
    *,
    name: str,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    fixed: Mapping[str, np.ndarray] | None = None,
    custom_ops: Sequence[str | Path] = (),
) -> Model:
    """Import a model; ``proto`` is not changed.

    Args:
        proto: A model, its weights loaded. It is the reference for the result, so it must not change later.
        name: Name for the model.
        shapes: By input, the shape of an input with open sizes; it must repeat the sizes that the model fixes.
        fixed: By input, the value that it always has; it is no input any more.
        custom_ops: Libraries of operators for ONNX Runtime.

    Raises:
        ModelError: If ONNX Runtime cannot load the model, it has open sizes, ``shapes`` or ``fixed`` do not fit its
            inputs, or the import would change what it computes.
    """
    work = onnx.ModelProto()
    work.CopyFrom(proto)
    libraries = tuple(str(Path(library).resolve()) for library in custom_ops)
    return _imported(work, name, shapes or {}, Source(lambda: proto, fixed or {}, libraries))


def _imported(proto: onnx.ModelProto, name: str, shapes: Mapping[str, tuple[int, ...]], source: Source) -> Model:
    """As :func:`import_model`, but changes ``proto``, since copying weights is slow."""
    try:
        check_inline(proto)
        normalize(proto)
        bind_values(proto.graph, source.fixed)
        inline_decided(proto)
        stated = fix_input_shapes(proto.graph, shapes)
        inline_decided(proto)
        check_tensors(proto)
        inputs = {value.name: _copied(value.type) for value in proto.graph.input}
        proto = _folded(proto, source.custom_ops)
        fold_constants(proto)
        _make_outputs(proto.graph)
        _tidy(proto)
        infer_shapes(proto, stated, lambda tensors: observe(proto, inputs, tensors, source.custom_ops))
        model = _model(proto, inputs, name, source)
        if source.load is not None:
            check_same(model, source)
    except ModelError as error:
        raise ModelError(f"model {name!r}: {error}") from None
    return model


def _folded(proto: onnx.ModelProto, custom_ops: Sequence[str]) -> onnx.ModelProto:
    """The model with its constants folded by ONNX Runtime.

    An engine that knows the inputs' shapes infers those of branches that are never taken, too, and may refuse them.
    Then the sizes of inputs stay open.

    Raises:
        ModelError: If ONNX Runtime cannot load the model; says why.
    """
    try:
        return fold(proto, custom_ops)
    except ModelError as error:
        refusal = explained(proto, error)
    if any(True for node in proto.graph.node for _ in inner_graphs(node)):
        for value in proto.graph.input:
            if value.type.HasField("tensor_type"):
                value.type.tensor_type.ClearField("shape")
        with suppress(ModelError):
            return fold(proto, custom_ops)
    raise refusal


def _model(proto: onnx.ModelProto, inputs: Mapping[str, onnx.TypeProto], name: str, source: Source) -> Model:
    """The model of a tidied ONNX model with types, its nodes grouped."""
    graph = proto.graph
    types = {value.name: value.type for value in (*graph.value_info, *graph.output)} | dict(inputs)
    found = find_regions(graph.node, lambda tensor: crosses(types.get(tensor)))
    groups = [[graph.node[i] for i in group] for group in found]
    if len(groups) < len(graph.node):
        copies = [[_copied(node) for node in nodes] for nodes in groups]
        replace(graph.node, [node for nodes in copies for node in nodes])
        groups = copies
    opaque = [name for name in (*inputs, *(value.name for value in graph.output)) if not crosses(types[name])]
    regions = {
        region_name([node.name for node in nodes]): tuple(node.name for node in nodes)
        for nodes in groups
        if len(nodes) > 1
    }
    return Model(
        graph=graph_of(graph, name, groups, types, examples_of(proto, inputs, opaque, source.custom_ops)),
        proto=proto,
        hash=hashlib.sha256(serialized(proto)).hexdigest(),
        regions=regions,
        source=source,
    )


def _copied(message: _Message) -> _Message:
    copy = type(message)()
    copy.CopyFrom(message)
    return copy


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
            rename_tensors(node, lambda name, old=output, new=weight.name: new if name == old else name)  # type: ignore[misc]
        graph.node.append(helper.make_node("Identity", [weight.name], [output]))


def _tidy(proto: onnx.ModelProto) -> None:
    """Remove nodes and weights without effect and all metadata, sort attributes and weights, and name the nodes."""
    graph = proto.graph
    drop_dead(graph)
    for node in graph.node:
        node.attribute.sort(key=lambda attribute: attribute.name)
    graph.initializer.sort(key=lambda tensor: tensor.name)
    for message in (graph, *graph.input, *graph.output, *graph.node, *graph.initializer):
        message.ClearField("doc_string")
        message.ClearField("metadata_props")
    del graph.value_info[:], graph.quantization_annotation[:]
    graph.name = "graph"
    version = min(max(proto.ir_version, IR_VERSION), _NEWEST_IR_VERSION)
    used = {node.domain for node in graph.node}
    opsets = [helper.make_opsetid("", opset_of(proto))]
    opsets += [
        helper.make_opsetid(e.domain, e.version)
        for e in proto.opset_import
        if e.domain and (e.domain in used or _has_inner_graphs(graph))
    ]
    for known, _ in proto.ListFields():
        if known.name != "graph":
            proto.ClearField(known.name)
    proto.ir_version = version
    proto.opset_import.extend(opsets)
    name_nodes(graph)


def _has_inner_graphs(graph: onnx.GraphProto) -> bool:
    return any(attribute.HasField("g") or attribute.graphs for node in graph.node for attribute in node.attribute)
