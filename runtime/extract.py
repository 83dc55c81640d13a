"""From a model and a set of operators to a small ONNX file that an engine can compile on its own.

All weights lie once in one file beside the segments, which refer to them as external data. So a segment's file is a
few kilobytes, engines map the weights instead of copying them, and cutting a model into hundreds of segments costs
neither time nor memory.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from hetsim.model import Model

_INLINE_BYTES = 1024  # shapes, axes and scalars stay inside the segment: engines read them while compiling
_ALIGNMENT_BYTES = 4096
_WEIGHTS_FILE = "weights.bin"


class SegmentStore:
    """Writes segments of one model into a folder, each once.

    Args:
        model: The model to cut.
        folder: An existing folder, which belongs to the store.
    """

    def __init__(self, model: Model, folder: Path) -> None:
        self._model = model
        self.folder = folder
        self._nodes = {node.name: node for node in model.proto.graph.node}
        self._weights = self._write_weights()

    def _write_weights(self) -> dict[str, onnx.TensorProto]:
        """Put all large initializers into the weights file; returns what a segment says to refer to each."""
        references: dict[str, onnx.TensorProto] = {}
        with open(self.folder / _WEIGHTS_FILE, "wb") as file:
            for tensor in self._model.proto.graph.initializer:
                raw = tensor.raw_data or numpy_helper.to_array(tensor).tobytes()
                if len(raw) <= _INLINE_BYTES:
                    references[tensor.name] = tensor
                    continue
                offset = -(-file.tell() // _ALIGNMENT_BYTES) * _ALIGNMENT_BYTES
                file.seek(offset)
                file.write(raw)
                reference = onnx.TensorProto(
                    name=tensor.name,
                    dims=tensor.dims,
                    data_type=tensor.data_type,
                    data_location=onnx.TensorProto.EXTERNAL,
                )
                for key, value in (("location", _WEIGHTS_FILE), ("offset", offset), ("length", len(raw))):
                    reference.external_data.add(key=key, value=str(value))
                references[tensor.name] = reference
        return references

    def path(self, ops: tuple[str, ...]) -> Path:
        """The file of one segment, written if it is not there yet.

        Args:
            ops: Operators in topological order; a convex set.
        """
        name = hashlib.sha256("\n".join(ops).encode()).hexdigest()[:24]
        path = self.folder / f"{name}.onnx"
        if not path.exists():
            path.write_bytes(self._cut(ops).SerializeToString())
        return path

    def _cut(self, ops: tuple[str, ...]) -> onnx.ModelProto:
        graph = self._model.graph
        nodes = [self._nodes[op] for op in ops]
        inputs, outputs = graph.inputs_of(ops), graph.outputs_of(ops)
        weights = dict.fromkeys(name for node in nodes for name in node.input if name in self._weights)
        proto = helper.make_graph(
            nodes,
            f"segment of {graph.name}",
            [self._value(tensor) for tensor in inputs],
            [self._value(tensor) for tensor in outputs],
            [self._weights[name] for name in weights],
        )
        source = self._model.proto
        return helper.make_model(proto, opset_imports=source.opset_import, ir_version=source.ir_version)

    def _value(self, tensor: str) -> onnx.ValueInfoProto:
        spec = self._model.graph.tensors[tensor]
        return helper.make_tensor_value_info(tensor, helper.np_dtype_to_tensor_dtype(np.dtype(spec.dtype)), spec.shape)
