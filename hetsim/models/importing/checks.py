"""Checks of an ONNX model during its import. Each raises an error that says what to do."""

from __future__ import annotations

import math
from collections.abc import Sequence

import onnx
from google.protobuf.message import Message  # type: ignore[import-untyped]
from onnx import shape_inference

from hetsim.core.errors import ModelError
from hetsim.models.importing.onnx_graph import item_bytes, label
from hetsim.models.importing.shapes import is_static, without_weights
from hetsim.models.reference import MAX_PROTO_BYTES, one_line

_SEPARATE_WEIGHTS_IR_VERSION = 4  # the first in which a weight need not be an input


_DOMAINS = ("", "ai.onnx", "ai.onnx.ml")


def check_inline(proto: onnx.ModelProto) -> None:
    """Refuse weights in other files, which an engine would try to read, and names that are not Unicode."""
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
    """Refuse text that is not Unicode; protobuf accepts any bytes."""
    try:
        if isinstance(text, str):
            text.encode("utf-8")
            return
    except UnicodeEncodeError:
        pass
    raise ModelError(f"invalid ONNX: the name {text!r} is not Unicode; export the model anew")


def check_size(graph: onnx.GraphProto, name: str) -> None:
    """Refuse weights that are too large for a protobuf message; ``name`` is named in the error."""
    num_bytes = sum(math.prod(tensor.dims) * item_bytes(tensor.data_type) for tensor in graph.initializer)
    if num_bytes > MAX_PROTO_BYTES:
        raise ModelError(
            f"{name} has {min(num_bytes, 10**18) / 1e9:.1f} GB of weights, more than the {MAX_PROTO_BYTES / 1e9:.1f} "
            "GB that a protobuf message can hold; split the model, or store its weights in float16"
        )


def check_kinds(graph: onnx.GraphProto) -> None:
    """Refuse operators that are not in the ONNX standard."""
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


def check_valid(proto: onnx.ModelProto) -> None:
    """Check the model with onnx, and remove initializers from its inputs, where they are before IR version 4."""
    light = without_weights(proto)
    for value in (*light.graph.input, *light.graph.output):
        if value.type.WhichOneof("value") == "tensor_type":
            value.type.tensor_type.shape.SetInParent()  # the checker needs a shape, inference does not
    try:
        onnx.checker.check_model(light)
    except (onnx.checker.ValidationError, ValueError) as error:
        raise ModelError(f"invalid ONNX: {one_line(error)}") from None
    constants = {tensor.name for tensor in proto.graph.initializer}
    inputs = [value for value in proto.graph.input if value.name not in constants]
    del proto.graph.input[:]
    proto.graph.input.extend(inputs)
    proto.ir_version = max(proto.ir_version, _SEPARATE_WEIGHTS_IR_VERSION)


def check_tensors(proto: onnx.ModelProto) -> None:
    """Refuse tensors that are too large for memory before an engine computes constants."""
    try:
        inferred = shape_inference.infer_shapes(without_weights(proto), data_prop=True)
    except (shape_inference.InferenceError, ValueError, RuntimeError):
        return  # folding constants reports the error
    for value in (*inferred.graph.input, *inferred.graph.value_info, *inferred.graph.output):
        kind = value.type.tensor_type
        num_bytes = math.prod(dim.dim_value for dim in kind.shape.dim) * item_bytes(kind.elem_type)
        if is_static(value.type) and num_bytes > MAX_PROTO_BYTES:
            raise ModelError(
                f"tensor {value.name!r} has {min(num_bytes, 10**18) / 1e9:.1f} GB, more than the "
                f"{MAX_PROTO_BYTES / 1e9:.1f} GB that are supported; use smaller shapes"
            )


def check_folded(graph: onnx.GraphProto) -> None:
    """Refuse control flow and sparse weights that are left after folding."""
    for node in graph.node:
        if any(attribute.type in (attribute.GRAPH, attribute.GRAPHS) for attribute in node.attribute):
            raise ModelError(
                f"operator {label(node)} is control flow, whose course depends on the data; export the model with "
                "its branches decided and its loops unrolled"
            )
    if graph.sparse_initializer:
        raise ModelError(f"weight {graph.sparse_initializer[0].values.name!r} is sparse; store it as a dense tensor")
