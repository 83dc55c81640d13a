"""Constants that ONNX Runtime leaves: sparse ones, and what follows from constants but has a size that data decide."""

from __future__ import annotations

import math

import numpy as np
import onnx
from onnx import numpy_helper

from hetsim.core.errors import ModelError
from hetsim.models.importing.normal import drop_dead
from hetsim.models.importing.onnx_graph import DTYPES
from hetsim.models.nodes import is_random, names_read
from hetsim.models.reference import evaluate

_MAX_FOLDED_BYTES = 64 * 2**20  # a larger constant is cheaper to compute than to store


def fold_constants(proto: onnx.ModelProto) -> None:
    """Make sparse constants dense, and compute the tensors that follow from constants alone.

    Tensors of numbers alone are computed, none that is larger than 64 MiB, and none that random numbers went into.
    """
    graph = proto.graph
    make_dense(graph)
    fixed = {tensor.name for tensor in graph.initializer}
    foldable: set[str] = set()
    wanted: list[str] = []
    outputs = {value.name for value in graph.output}
    for node in graph.node:
        read = names_read(node)
        if not is_random(node) and all(name in fixed or name in foldable for name in read):
            foldable.update(filter(None, node.output))
        else:
            wanted += [name for name in read if name in foldable]
    wanted = list(dict.fromkeys((*wanted, *(name for name in outputs if name in foldable))))
    if not wanted:
        return
    part = onnx.ModelProto(ir_version=proto.ir_version, opset_import=proto.opset_import)
    part.graph.name = "constants"
    part.graph.node.extend(node for node in graph.node if foldable.issuperset(filter(None, node.output)))
    part.graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted)
    part.graph.initializer.extend(graph.initializer)
    drop_dead(part.graph)
    try:
        values = evaluate(part, {})
    except ModelError:
        return  # the model is refused, or runs, as it stands
    folded = {
        name: value
        for name, value in values.items()
        if isinstance(value, np.ndarray) and value.dtype.name in DTYPES.values() and value.nbytes <= _MAX_FOLDED_BYTES
    }
    if not folded:
        return
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in folded.items())
    for node in graph.node:
        node.output[:] = [f"{name} unused" if name in folded else name for name in node.output]
    drop_dead(graph)


def make_dense(graph: onnx.GraphProto) -> None:
    """Turn sparse constants into dense ones."""
    for sparse in graph.sparse_initializer:
        values, indices = numpy_helper.to_array(sparse.values), numpy_helper.to_array(sparse.indices)
        dense = np.zeros(math.prod(sparse.dims), values.dtype)
        flat = indices if indices.ndim == 1 else np.ravel_multi_index(tuple(indices.T), tuple(sparse.dims))
        dense[flat] = values
        graph.initializer.append(numpy_helper.from_array(dense.reshape(tuple(sparse.dims)), sparse.values.name))
    del graph.sparse_initializer[:]
