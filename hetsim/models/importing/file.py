"""Model files: a protobuf message, and weights in other files of its folder."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import onnx
from google.protobuf.message import DecodeError, Message  # type: ignore[import-untyped]

from hetsim.core.errors import ModelError
from hetsim.models.importing.checks import check_size
from hetsim.models.reference import MAX_PROTO_BYTES, one_line


def read_model(path: Path) -> onnx.ModelProto:
    """The model in a file, with the weights that are in other files of its folder.

    Caches of model hubs are folders of links to files that lie elsewhere. Weights behind a link are read if they lie
    in the folder that the path names, or beside the file that the path leads to; other files are not.

    Raises:
        ModelError: If the file or its weights cannot be read, or there is no model in it.
    """
    if path.is_dir():
        raise ModelError(f"{path} is a directory; name the .onnx file in it")
    if not path.is_file():
        raise ModelError(f"{path} is not a regular file; name an .onnx file")
    try:
        if path.stat().st_size > MAX_PROTO_BYTES:
            raise ModelError(
                f"{path} has {path.stat().st_size / 1e9:.1f} GB, more than the {MAX_PROTO_BYTES / 1e9:.1f} GB that a "
                "protobuf message can hold; store its weights in a file beside it"
            )
        proto = onnx.load(path, load_external_data=False)
        check_size(proto.graph, str(path))
        _load_weights(proto, path)
    except OSError as error:
        raise ModelError(f"cannot read {error.filename or path}: {error.strerror or error}") from None
    except DecodeError:
        raise ModelError(f"{path} is not an ONNX model; export one, or check that it was copied whole") from None
    except (onnx.checker.ValidationError, ValueError, TypeError) as error:
        raise ModelError(f"{path} keeps weights in a place that cannot be read: {one_line(error)}") from None
    if not proto.HasField("graph"):
        raise ModelError(f"{path} is not an ONNX model: it has no graph; export one, or check that it was copied whole")
    return proto


def _load_weights(proto: onnx.ModelProto, path: Path) -> None:
    """Read the weights that lie in other files."""
    folders = (path.parent.resolve(), path.resolve().parent)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about keys that the reader ignores
        for tensor in tensors_in(proto):
            if tensor.data_location != onnx.TensorProto.EXTERNAL:
                continue
            entries = {entry.key: entry for entry in tensor.external_data}
            location = entries["location"].value if "location" in entries else ""
            folder, inside = _place(path, location, folders, tensor.name)
            entries["location"].value = inside
            onnx.external_data_helper.load_external_data_for_tensor(tensor, str(folder))
            tensor.data_location = onnx.TensorProto.DEFAULT
            del tensor.external_data[:]


def _place(path: Path, location: str, folders: tuple[Path, Path], name: str) -> tuple[Path, str]:
    """The folder and the path in it, free of links, of a file that a model names.

    Raises:
        ModelError: If the file is none of those that may be read, or does not exist.
    """
    steps = PurePosixPath(location)
    if not location or steps.is_absolute() or ".." in steps.parts:
        raise ModelError(
            f"{path} keeps weight {name!r} at {location!r}, which leads out of its folder; put the weights beside it"
        )
    file = path.parent / steps
    if not file.exists():
        raise ModelError(f"{path} keeps weight {name!r} in {file}, which does not exist; put the weights beside it")
    real = file.resolve()
    for folder in folders:
        if real.is_relative_to(folder):
            return folder, os.fspath(real.relative_to(folder))
    raise ModelError(
        f"{path} keeps weight {name!r} in {file}, a link that leads out of its folder; put the weights beside it"
    )


def tensors_in(message: Message) -> Iterator[onnx.TensorProto]:
    """All tensors within a message, those of inner graphs and functions included."""
    pending = [message]
    while pending:
        message = pending.pop()
        if isinstance(message, onnx.TensorProto):
            yield message
            continue
        for field, value in message.ListFields():
            if field.message_type is not None:
                many = isinstance(value, Sequence) or hasattr(value, "extend")
                pending.extend(value if many else [value])
