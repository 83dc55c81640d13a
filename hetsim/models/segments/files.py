"""Segments as small ONNX files that an engine can compile on their own.

One file beside the segments holds all weights, to which the segments refer as external data. A segment's file has a few
kilobytes, engines map the weights instead of copying them, and cutting a model into hundreds of segments takes little
time and memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import onnx
from onnx import helper, numpy_helper

from hetsim.models.importing.shapes import is_static
from hetsim.models.model import Model
from hetsim.models.nodes import names_read
from hetsim.models.segments.custom_ops import write_custom_ops
from hetsim.models.weights import WeightSlice

_INLINE_BYTES = 1024  # shapes, axes and scalars stay in the segment's file: engines read them while they compile
_ALIGNMENT_BYTES = 4096
_WEIGHTS_FILE = "weights.bin"


class SegmentStore:
    """Writes segments of a model, and of models rewritten from it, into a folder, each once.

    Args:
        model: The imported model.
        folder: An existing folder for the store alone.
    """

    def __init__(self, model: Model, folder: Path) -> None:
        self.folder = folder
        self._weights: dict[str, onnx.TensorProto] = {}
        self._large: dict[str, tuple[int, int]] = {}  # by weight, its offset in the file and its size in bytes
        if model.custom_ops:
            write_custom_ops(folder, model.custom_ops)
        with open(folder / _WEIGHTS_FILE, "wb") as file:
            for name, tensor in model.weights.items():
                raw = _raw(tensor)
                if len(raw) <= _INLINE_BYTES:
                    self._weights[name] = tensor
                else:
                    self._large[name] = _append(file, raw), len(raw)
                    self._weights[name] = _reference(name, tensor.dims, tensor.data_type, *self._large[name])

    def path(self, model: Model, ops: tuple[str, ...]) -> Path:
        """The file of a segment, which is written if it does not exist; equal segments share a file.

        Args:
            model: The model, or one rewritten from it.
            ops: A convex set of operators, in topological order.
        """
        content = self._cut(model, ops).SerializeToString(deterministic=True)
        path = self.folder / f"{hashlib.sha256(content).hexdigest()[:24]}.onnx"
        if not path.exists():
            path.write_bytes(content)
        return path

    def _cut(self, model: Model, ops: tuple[str, ...]) -> onnx.ModelProto:
        graph = model.graph
        nodes = [node for op in ops for node in model.nodes_of(op)]
        made = {name for node in nodes for name in node.output}
        read = dict.fromkeys(name for node in nodes for name in names_read(node))
        weights = [name for name in read if name not in graph.tensors and name not in made]
        proto = helper.make_graph(
            nodes,
            f"segment of {graph.name}",
            [_value(model, tensor) for tensor in graph.inputs_of(ops)],
            [_value(model, tensor) for tensor in graph.outputs_of(ops)],
            [self._weight(model, name) for name in weights],
        )
        return helper.make_model(
            proto, opset_imports=model.proto.opset_import, ir_version=model.proto.ir_version, producer_name=""
        )

    def _weight(self, model: Model, name: str) -> onnx.TensorProto:
        """A weight as a segment's file holds it: inline, or as a reference."""
        if name not in self._weights:
            part = model.weight_slices.get(name)
            if part is None:
                return model.weights[name]  # a rewritten model has few and small weights of its own
            self._weights[name] = self._part(model, name, part)
        return self._weights[name]

    def _part(self, model: Model, name: str, part: WeightSlice) -> onnx.TensorProto:
        """A reference into the weight that it is a part of, or to a copy if its bytes are not contiguous there."""
        source = model.weights[part.source]
        tensor = part.tensor(name, source)
        raw = _raw(tensor)
        if len(raw) <= _INLINE_BYTES:
            return tensor
        offset, num_bytes = self._large[part.source]
        within = part.byte_range(source, num_bytes)
        if within is not None:
            start = offset + within[0]
        else:
            with open(self.folder / _WEIGHTS_FILE, "ab") as file:
                start = _append(file, raw)
        return _reference(name, tensor.dims, tensor.data_type, start, len(raw))


def _raw(tensor: onnx.TensorProto) -> bytes:
    raw: bytes = tensor.raw_data or numpy_helper.to_array(tensor).tobytes()
    return raw


def _append(file: BinaryIO, raw: bytes) -> int:
    """Append the bytes to the file and return their offset."""
    offset = -(-file.tell() // _ALIGNMENT_BYTES) * _ALIGNMENT_BYTES
    file.write(bytes(offset - file.tell()))
    file.write(raw)
    return offset


def _reference(name: str, dims: Sequence[int], data_type: int, offset: int, num_bytes: int) -> onnx.TensorProto:
    reference = onnx.TensorProto(name=name, dims=dims, data_type=data_type, data_location=onnx.TensorProto.EXTERNAL)
    for key, value in (("location", _WEIGHTS_FILE), ("offset", offset), ("length", num_bytes)):
        reference.external_data.add(key=key, value=str(value))
    return reference


def _value(model: Model, name: str) -> onnx.ValueInfoProto:
    """A tensor as a segment declares it: by its type in the model where that has open sizes, or is no array."""
    tensor = model.graph.tensors[name]
    declared = model.declared.get(name)
    if declared is not None and not is_static(declared.type):
        return declared
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(tensor.dtype)), tensor.shape)
