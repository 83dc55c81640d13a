"""The reference engine: ONNX Runtime on one thread, without optimisations. It also folds constants."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
import onnxruntime as ort
from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented

from hetsim.core.errors import ModelError

VERSION = str(ort.__version__)
"""Version of the reference engine."""

MAX_PROTO_BYTES = 2**31 - 1  # protobuf serialises no larger message
_READABLE = (
    (r"/onnxruntime_src/\S+:\d+ [^(]*\(.*?\)( const)? (?=\S)", ""),  # file, line and signature of a C++ function
    (r"\[ONNXRuntimeError\] : \d+ : \w+ : ", ""),
    (r"Non-zero status code returned while running (\S+) node. Name:'(.*?)' Status Message: ", r"operator '\2' (\1): "),
)
"""Patterns in ONNX Runtime's messages, and what to say instead."""

_SILENT = 4  # ONNX Runtime's severity "fatal"; all errors are raised as exceptions


def fold(proto: onnx.ModelProto, custom_ops: Sequence[str] = ()) -> onnx.ModelProto:
    """The same model with constants computed and batch normalisations folded into convolutions, functions inlined.

    The result of ONNX Runtime's optimisation level BASIC: no operators of its own are added, inputs and outputs stay.

    Args:
        proto: The model.
        custom_ops: Libraries of its custom operators.

    Raises:
        ModelError: If the model is too large, or ONNX Runtime cannot load it.
    """
    with tempfile.TemporaryDirectory(prefix="hetsim-") as folder:
        path = Path(folder) / "folded.onnx"
        options = _options(custom_ops)
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(path)
        options.add_session_config_entry("session.disable_prepacking", "1")  # the session never runs
        # That fusion would put each matrix product of more than two dimensions between two Reshapes.
        _session(serialized(proto), options, disabled_optimizers=["MatMulAddFusion"])
        return onnx.load(path)


def evaluate(
    proto: onnx.ModelProto,
    inputs: Mapping[str, Any],
    outputs: Sequence[str] | None = None,
    *,
    custom_ops: Sequence[str] = (),
) -> dict[str, Any]:
    """By name, the tensors ``outputs`` of the model: the reference for other engines.

    A tensor is an array, of objects if it is text; a sequence is a list; an optional value may be None.

    Args:
        proto: The model, in the precision of the computation.
        inputs: A value for each of the model's inputs.
        outputs: Names of tensors that operators make; None means the model's outputs.
        custom_ops: Libraries of its custom operators.

    Raises:
        ModelError: If the model cannot be loaded or run, an input is missing, or no operator makes an output.
    """
    return prepare(proto, outputs, custom_ops=custom_ops)(inputs)


def prepare(
    proto: onnx.ModelProto, outputs: Sequence[str] | None = None, *, custom_ops: Sequence[str] = ()
) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """A function from inputs to outputs, as :func:`evaluate` has them; the model is loaded once.

    Random operators go on where the run before left off. The function raises ModelError if the model cannot run.

    Args:
        proto: The model.
        outputs: Names of tensors that operators make; None means the model's outputs.
        custom_ops: Libraries of its custom operators.

    Raises:
        ModelError: If the model cannot be loaded, or no operator makes an output.
    """
    content = serialized(proto)
    declared = {value.name for value in proto.graph.output}
    wanted = [value.name for value in proto.graph.output] if outputs is None else list(outputs)
    inner = [name for name in dict.fromkeys(wanted) if name not in declared]
    if inner:
        # Concatenated protobuf messages merge, so that outputs are added without a copy of the weights.
        values = [onnx.ValueInfoProto(name=name) for name in inner]
        content += onnx.ModelProto(graph=onnx.GraphProto(output=values)).SerializeToString()
    options = _options(custom_ops)
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = _session(content, options)

    def run(inputs: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return dict(zip(wanted, session.run(wanted, dict(inputs)), strict=True))
        except Exception as error:  # ONNX Runtime has no common base class for what it raises
            raise ModelError(f"ONNX Runtime cannot run the model: {one_line(error)}") from None

    return run


def lacks_operators(proto: onnx.ModelProto) -> bool:
    """Whether the reference engine says that it does not implement one of the model's operators, or types of these."""
    options = _options(())
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        ort.InferenceSession(serialized(proto), options, providers=["CPUExecutionProvider"])
    except NotImplemented:
        return True
    except Exception:  # something else is wrong with it, or it has custom operators
        return False
    return False


def serialized(proto: onnx.ModelProto) -> bytes:
    """The serialised model; equal models give equal bytes.

    Raises:
        ModelError: If it exceeds the 2 GB that protobuf can hold.
    """
    num_bytes = sum(len(tensor.raw_data) for tensor in proto.graph.initializer)
    if num_bytes <= MAX_PROTO_BYTES:
        try:
            content: bytes = proto.SerializeToString(deterministic=True)
            return content
        except Exception:  # the class differs between protobuf's implementations
            pass
    raise ModelError(
        f"the model with its weights exceeds the {MAX_PROTO_BYTES / 1e9:.1f} GB that a protobuf message can hold "
        f"(weights stored as raw data: {num_bytes / 1e9:.1f} GB); split the model, or store its weights in float16"
    )


def one_line(error: Exception, *, max_chars: int = 300) -> str:
    """An engine's error message on one line, without the position in the engine's source code."""
    text = " ".join(str(error).split())
    for pattern, replacement in _READABLE:
        text = re.sub(pattern, replacement, text)
    return text if len(text) <= max_chars else f"{text[: max_chars - 3]}..."


def _options(custom_ops: Sequence[str]) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = _SILENT
    for library in custom_ops:
        try:
            options.register_custom_ops_library(library)
        except Exception as error:  # ONNX Runtime has no common base class for what it raises
            raise ModelError(f"cannot load the custom operators in {library}: {one_line(error)}") from None
    return options


def _session(
    content: bytes, options: ort.SessionOptions, *, disabled_optimizers: Sequence[str] = ()
) -> ort.InferenceSession:
    try:
        return ort.InferenceSession(
            content, options, providers=["CPUExecutionProvider"], disabled_optimizers=list(disabled_optimizers)
        )
    except Exception as error:  # ONNX Runtime has no common base class for what it raises
        raise ModelError(f"ONNX Runtime cannot load the model: {one_line(error)}") from None
