"""Cycles of single operators on an array of processing elements, by ZigZag; only this file imports it.

L. Mei, P. Houshmand, V. Jain, S. Giraldo, M. Verhelst, "ZigZag: enlarging joint architecture-mapping design space
exploration for DNN accelerators", IEEE Transactions on Computers 70(8), 2021. It searches for the best order of an
operator's loops, which takes seconds, so its results are cached in a file by the operator's shape. It is installed by
``pip install hetsim[zigzag]`` and imported for operators that the cache does not have.
"""

from __future__ import annotations

import hashlib
import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import msgspec
import onnx
from onnx import helper

from hetsim.core.errors import PlatformError
from hetsim.core.sources import Architecture
from hetsim.io.cache import cache_folder
from hetsim.io.file_locks import file_locks
from hetsim.io.files import write_atomically
from hetsim.models.importing.onnx_graph import label
from hetsim.models.model import Model


class Cycles:
    """Cycles of a model's operators on an architecture, from the cache or from ZigZag.

    Args:
        device: The device's name, for errors.
        architecture: The array and the mapping of operators onto it.
        model: The model.

    Raises:
        PlatformError: If a file of the architecture cannot be read, ZigZag is needed and not installed, or the cache is
            malformed.
    """

    def __init__(self, device: str, architecture: Architecture, model: Model) -> None:
        path = f"device.{device}.architecture"
        self._device = device
        self._hardware = _file(architecture.hardware, "hardware", f"{path}.hardware")
        self._mapping = _file(architecture.mapping, "mapping", f"{path}.mapping")
        self._nodes = {node.name: node for node in model.proto.graph.node}
        self._shapes = {tensor.name: tuple(tensor.dims) for tensor in model.proto.graph.initializer}
        self._shapes |= {tensor.name: tensor.shape for tensor in model.graph.tensors.values()}
        self._described = b"\0".join((_version().encode(), self._hardware.read_bytes(), self._mapping.read_bytes()))
        self._path = Path(architecture.cache) if architecture.cache else cache_path()
        self._known = _read(self._path)

    def has_model(self, op: str) -> bool:
        """Whether ZigZag models the operator: convolutions of images, and products of matrices."""
        node = self._nodes.get(op)
        if node is None:  # a region
            return False
        if node.op_type == "Conv":
            return len(self._shapes[node.input[1]]) == 4
        return node.op_type in ("Gemm", "MatMul") and len(self._shapes[node.input[1]]) > 1

    def cycles(self, op: str) -> float:
        """The cycles of an operator for which :meth:`has_model` is true, with inputs and outputs in the memory.

        Raises:
            PlatformError: If the cache does not have it, and ZigZag is not installed or cannot map the operator.
        """
        node = self._node(op)
        key = hashlib.sha256(self._described + b"\0" + node.SerializeToString(deterministic=True)).hexdigest()
        if key not in self._known:
            found = self._run_zigzag(node, op)
            try:
                with _locked(self._path):  # another process may have added to it in the meantime
                    self._known = {**_read(self._path), key: found}
                    write_atomically(self._path, msgspec.json.format(msgspec.json.encode(self._known), indent=1))
            except OSError as error:
                raise PlatformError(
                    f"cannot write the cache of cycles {self._path}: {error.strerror}; "
                    f"name another file as device.{self._device}.architecture.cache"
                ) from None
        return self._known[key]

    def _node(self, op: str) -> onnx.GraphProto:
        """A graph of the operator alone, the same for all operators of its shape."""
        own = self._nodes[op]
        given = {attribute.name: attribute for attribute in own.attribute}
        read, weights, made = (self._shapes[name] for name in (*own.input[:2], own.output[0]))  # a bias costs nothing
        node = helper.make_node(own.op_type, ["in", "weights"], ["out"], name="op")
        if own.op_type == "Conv":
            settings = _settings(given, read, weights, made)
            node.attribute.extend(helper.make_attribute(name, value) for name, value in settings.items())
        elif own.op_type == "Gemm":
            read = read[::-1] if "transA" in given and given["transA"].i else read
            weights = weights[::-1] if "transB" in given and given["transB"].i else weights
        shapes = (("in", read), ("weights", weights), ("out", made))
        first, second, out = (
            helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name, shape in shapes
        )
        return helper.make_graph([node], "op", [first, second], [out])

    def _run_zigzag(self, graph: onnx.GraphProto, op: str) -> float:
        try:
            from zigzag.api import get_hardware_performance_zigzag
        except ImportError as error:
            raise PlatformError(
                f"device {self._device!r} needs ZigZag, which is not installed ({error}); "
                "install it with: pip install 'hetsim[zigzag]'"
            ) from None
        try:
            with tempfile.TemporaryDirectory() as folder, _quiet():
                _, found, *_ = get_hardware_performance_zigzag(
                    helper.make_model(graph),
                    str(self._hardware),
                    str(self._mapping),
                    dump_folder=folder,
                    nb_spatial_mappings_generated=1,
                    loma_show_progress_bar=False,
                )
        except Exception as error:  # ZigZag raises errors of any type for an architecture that it cannot handle
            description = str(error).splitlines()
            raise PlatformError(
                f"ZigZag cannot map operator {label(self._nodes[op])} onto device {self._device!r}: "
                f"{type(error).__name__} {description[0] if description else ''}"
            ) from None
        return float(found)


def _settings(
    given: Mapping[str, onnx.AttributeProto], read: Sequence[int], weights: Sequence[int], made: Sequence[int]
) -> dict[str, int | list[int]]:
    """All of a convolution's settings, defaults included; padding is put on both sides, as its side does not matter."""
    strides = list(given["strides"].ints) if "strides" in given else [1, 1]
    dilations = list(given["dilations"].ints) if "dilations" in given else [1, 1]
    spans = zip(read[2:], weights[2:], made[2:], strides, dilations, strict=True)
    pads = [max((out - 1) * stride + (size - 1) * gap + 1 - has, 0) for has, size, out, stride, gap in spans]
    return {
        "kernel_shape": list(weights[2:]),
        "strides": strides,
        "dilations": dilations,
        "pads": [pad // 2 for pad in pads] + [pad - pad // 2 for pad in pads],
        "group": given["group"].i if "group" in given else 1,
    }


def cache_path() -> Path:
    """The user's cache of cycles."""
    return cache_folder() / "zigzag.json"


def _version() -> str:
    try:
        return version("zigzag-dse")
    except PackageNotFoundError:
        return ""


def _file(name: str, folder: str, path: str) -> Path:
    """The file with that path, or the one with that name that ZigZag ships."""
    if name.endswith((".yaml", ".yml")):
        if not Path(name).is_file():
            raise PlatformError(
                f"{path} {name!r} is not a file; give a file in ZigZag's format, or a name that it ships"
            )
        return Path(name)
    found = find_spec("zigzag")  # finds it without importing it
    if found is None or not found.submodule_search_locations:
        raise PlatformError(
            f"{path} {name!r} is one of ZigZag's own, which is not installed; "
            "install it with: pip install 'hetsim[zigzag]'"
        )
    shipped = Path(next(iter(found.submodule_search_locations))) / "inputs" / folder
    if not (shipped / f"{name}.yaml").is_file():
        names = ", ".join(sorted(entry.stem for entry in shipped.glob("*.yaml")))
        raise PlatformError(f"{path} {name!r} is not a name that ZigZag ships; it ships {names}; or give a .yaml file")
    return shipped / f"{name}.yaml"


def _read(path: Path) -> dict[str, float]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, float])
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise PlatformError(f"cannot read the cache of cycles {path}: {error.strerror}") from None
    except msgspec.DecodeError as error:
        raise PlatformError(f"the cache of cycles {path} is malformed: {error}; remove the file") from None


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the file's lock among all processes; the lock is a file beside it."""
    fcntl = file_locks()
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path.with_name(f"{path.name}.lock"), "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence ZigZag, which sets up logging for the whole program, and restore the settings afterwards."""
    root = logging.getLogger()
    handlers, level, disabled = list(root.handlers), root.level, root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
        root.setLevel(level)
        for handler in [handler for handler in root.handlers if handler not in handlers]:
            root.removeHandler(handler)
