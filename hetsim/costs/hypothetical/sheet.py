"""Costs on a device that is defined by its data sheet: a roofline for each kernel, one after the other.

After S. Williams, A. Waterman, D. Patterson, "Roofline: an insightful visual performance model for multicore
architectures", Communications of the ACM 52(4), 2009. docs/model.md has the equations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hetsim.core.graph import Graph
from hetsim.core.platform import Device
from hetsim.core.problem import Latency
from hetsim.core.sources import ITEM_BYTES, Sheet
from hetsim.costs.hypothetical.kernels import Kernel, kernels
from hetsim.costs.hypothetical.layers import Layer, layers
from hetsim.models.model import Model


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kernel:
    """A kernel.

    Attributes:
        reads: By tensor that it reads, how many bytes of it; a slice that a split adds reads what it writes.
        makes: Tensors that other kernels read, or the caller.
        weight_bytes: Size of its weights on the device.
        seconds: The time of its arithmetic.
    """

    reads: Mapping[str, int]
    makes: tuple[str, ...]
    weight_bytes: int
    seconds: float


class SheetCosts:
    """Times and memory traffic of segments on a device with a data sheet.

    Args:
        device: The device.
        sheet: Its data sheet.
        graph: The model's graph.
        layer_of: By operator, its channels; operators without an entry utilise all lanes.
    """

    def __init__(self, device: Device, sheet: Sheet, graph: Graph, layer_of: Mapping[str, Layer]) -> None:
        self._device = device
        self._sheet = sheet
        self._graph = graph
        self._layers = layer_of
        self._tensor_bytes = {
            name: num_bytes_in(device, tensor.num_bytes, tensor.dtype) for name, tensor in graph.tensors.items()
        }
        self._known: dict[tuple[str, ...], tuple[float, int]] = {}
        self._kernel_facts: dict[Kernel, _Kernel] = {}
        self._compute_s = {op.name: self._alone_s(op.name) for op in graph.ops}

    def latency(self, ops: tuple[str, ...]) -> Latency | None:
        """The latency of the operators as one segment; None where the device does not run one of them."""
        supported = self._device.supported_ops
        if supported and not all(set(supported).issuperset(self._graph.by_name[op].kinds) for op in ops):
            return None
        return Latency(self._device.launch_s + self._work(ops)[0], stated=True)

    def traffic_bytes(self, ops: tuple[str, ...]) -> int:
        """Bytes that the operators move to and from the memory as one segment."""
        return self._work(ops)[1]

    def of_parts(self, model: Model) -> SheetCosts:
        """The costs of a model that was rewritten from this one: parts are computed like any operator."""
        return SheetCosts(self._device, self._sheet, model.graph, layers(model))

    def _work(self, ops: tuple[str, ...]) -> tuple[float, int]:
        """The seconds of a segment without its launch, and the bytes that it moves."""
        if ops not in self._known:
            found, bandwidth = self._kernels(ops), self._sheet.memory_bytes_per_s
            work_s = sum(max(compute_s, moved / bandwidth) for compute_s, moved in found)
            self._known[ops] = work_s, sum(moved for _, moved in found)
        return self._known[ops]

    def _alone_s(self, name: str) -> float:
        """The time of an operator's arithmetic in seconds, without memory accesses."""
        op, sheet = self._graph.by_name[name], self._sheet
        if op.num_macs:
            layer = self._layers.get(name)
            efficiency = sheet.efficiency_by_class.get(layer.shape, sheet.efficiency) if layer else sheet.efficiency
            peak = sheet.peak_ops_per_s[self._device.precision] * efficiency
            used = 1.0 if layer is None else layer.utilisation(sheet.input_lanes, sheet.output_lanes)
            return 2 * op.num_macs / (peak * used)
        read, made = (sum(num_elements(self._graph, t) for t in tensors) for tensors in (op.inputs, op.outputs))
        return (made if op.role == "slice" else max(read, made)) / sheet.elements_per_s

    def _kernels(self, ops: tuple[str, ...]) -> list[tuple[float, int]]:
        """By kernel, the seconds of its arithmetic and the bytes that it moves.

        Tensors between kernels stay on the chip, first come first served, as long as they fit.
        """
        made = [self._facts_of(kernel) for kernel in kernels(self._graph, ops, self._sheet.folded_ops)]
        leaves = set(self._graph.outputs_of(ops))
        last_read = {tensor: i for i, kernel in enumerate(made) for tensor in kernel.reads}
        on_chip: dict[str, int] = {}
        held = 0  # bytes on the chip
        found: list[tuple[float, int]] = []
        for i, kernel in enumerate(made):
            moved = kernel.weight_bytes
            moved += sum(num_bytes for tensor, num_bytes in kernel.reads.items() if tensor not in on_chip)
            for tensor in kernel.makes:
                num_bytes = self._tensor_bytes[tensor]
                stays = tensor in last_read and held + num_bytes <= self._sheet.on_chip_bytes
                if stays:
                    on_chip[tensor] = num_bytes
                    held += num_bytes
                if tensor in leaves or not stays:
                    moved += num_bytes
            for tensor in kernel.reads:
                if last_read[tensor] == i:
                    held -= on_chip.pop(tensor, 0)
            found.append((kernel.seconds, moved))
        return found

    def _facts_of(self, kernel: Kernel) -> _Kernel:
        """What a kernel reads, makes and costs in whatever segment."""
        if kernel not in self._kernel_facts:
            makes = self._graph.outputs_of(kernel)
            reads = {tensor: self._tensor_bytes[tensor] for tensor in self._graph.inputs_of(kernel)}
            if self._graph.by_name[kernel[0]].role == "slice":
                reads = dict.fromkeys(reads, sum(self._tensor_bytes[tensor] for tensor in makes))
            self._kernel_facts[kernel] = _Kernel(
                reads=reads,
                makes=makes,
                weight_bytes=sum(self._weight_bytes(op) for op in kernel),
                seconds=self._compute_s[kernel[0]],  # folded operators cost no time of their own
            )
        return self._kernel_facts[kernel]

    def _weight_bytes(self, op: str) -> int:
        return num_bytes_in(self._device, self._graph.by_name[op].weight_bytes, "float32")


def num_bytes_in(device: Device, num_bytes: int, dtype: str) -> int:
    """Bytes of numbers of a type in the device's precision; integers and booleans keep their size."""
    sizes = {"float16": 2, "float32": 4, "float64": 8}
    return num_bytes // sizes[dtype] * ITEM_BYTES[device.precision] if dtype in sizes else num_bytes


def num_elements(graph: Graph, tensor: str) -> int:
    """Number of elements of a tensor."""
    count = 1
    for size in graph.tensors[tensor].shape:
        count *= size
    return count
