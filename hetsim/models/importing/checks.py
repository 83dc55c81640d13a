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


def explained(proto: onnx.ModelProto, refusal: ModelError) -> ModelError:
    """What to say of a model that ONNX Runtime refuses to load.

    An operator that neither ONNX nor ONNX Runtime knows is named. Otherwise ONNX's checker explains the refusal if it
    does not like the model, either; it also dislikes some models that ONNX Runtime runs, so it is asked only now.
    """
    for node in proto.graph.node:
        named = any(text in str(refusal) for text in (f"{node.op_type}(-1)", f"No Op registered for {node.op_type} "))
        if named and not onnx.defs.has(node.op_type, node.domain.removesuffix("ai.onnx")):
            domain = f" of domain {node.domain!r}" if node.domain else ""
            return ModelError(
                f"neither ONNX {onnx.__version__} nor ONNX Runtime knows operator {label(node)}{domain}; name the "
                "library that has it with --custom-ops, or replace it by standard operators"
            )
    light = without_weights(proto)
    for value in (*light.graph.input, *light.graph.output):
        if value.type.WhichOneof("value") == "tensor_type":
            value.type.tensor_type.shape.SetInParent()  # the checker needs a shape, inference does not
    try:
        onnx.checker.check_model(light)
    except (onnx.checker.ValidationError, ValueError) as error:
        return ModelError(f"invalid ONNX: {one_line(error)}")
    return refusal


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
