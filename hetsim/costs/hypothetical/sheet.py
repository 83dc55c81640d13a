"""Costs on a device that is defined by its data sheet: a roofline for each kernel, one after the other.

After S. Williams, A. Waterman, D. Patterson, "Roofline: an insightful visual performance model for multicore
architectures", Communications of the ACM 52(4), 2009. docs/model.md has the equations.
"""

from __future__ import annotations

from collections.abc import Mapping

from hetsim.core.graph import Graph
from hetsim.core.platform import Device
from hetsim.core.problem import Latency
from hetsim.core.sources import ITEM_BYTES, Sheet
from hetsim.costs.hypothetical.kernels import Kernel, kernels
from hetsim.costs.hypothetical.layers import Layer


class SheetCosts:
    """Times and memory traffic of segments on a device with a data sheet.

    Args:
        device: The device.
        sheet: Its data sheet.
        graph: The model's graph.
        layers: By operator, its channels; operators without an entry utilise all lanes.
    """

    def __init__(self, device: Device, sheet: Sheet, graph: Graph, layers: Mapping[str, Layer]) -> None:
        self._device = device
        self._sheet = sheet
        self._graph = graph
        self._layers = layers
        self._tensor_bytes = {
            name: num_bytes_in(device, tensor.num_bytes, tensor.dtype) for name, tensor in graph.tensors.items()
        }
        self._compute_s = {op.name: self._alone_s(op.name) for op in graph.ops}

    def latency(self, ops: tuple[str, ...]) -> Latency | None:
        """The latency of the operators as one segment; None where the device does not run one of them."""
        supported = self._device.supported_ops
        if supported and not all(set(supported).issuperset(self._graph.by_name[op].kinds) for op in ops):
            return None
        bandwidth = self._sheet.memory_bytes_per_s
        work_s = sum(max(compute_s, moved / bandwidth) for compute_s, moved in self._kernels(ops))
        return Latency(self._device.launch_s + work_s, stated=True)

    def traffic_bytes(self, ops: tuple[str, ...]) -> int:
        """Bytes that the operators move to and from the memory as one segment."""
        return sum(moved for _, moved in self._kernels(ops))

    def _alone_s(self, name: str) -> float:
        """The time of an operator's arithmetic in seconds, without memory accesses."""
        op, sheet = self._graph.by_name[name], self._sheet
        if op.num_macs:
            peak = sheet.peak_ops_per_s[self._device.precision] * sheet.efficiency
            layer = self._layers.get(name)
            used = 1.0 if layer is None else layer.utilisation(sheet.input_lanes, sheet.output_lanes)
            return 2 * op.num_macs / (peak * used)
        read, made = (sum(num_elements(self._graph, t) for t in tensors) for tensors in (op.inputs, op.outputs))
        return max(read, made) / sheet.elements_per_s

    def _kernels(self, ops: tuple[str, ...]) -> list[tuple[float, int]]:
        """By kernel, the seconds of its arithmetic and the bytes that it moves.

        Tensors between kernels stay on the chip, first come first served, as long as they fit.
        """
        graph, inside = self._graph, set(ops)
        made = kernels(graph, ops, self._sheet.folded_ops)
        leaves = set(graph.outputs_of(inside))
        reads = [graph.inputs_of(kernel) for kernel in made]
        last_read = {tensor: i for i, tensors in enumerate(reads) for tensor in tensors}
        on_chip: dict[str, int] = {}
        found: list[tuple[float, int]] = []
        for i, kernel in enumerate(made):
            moved = sum(self._weight_bytes(op) for op in kernel)
            moved += sum(self._tensor_bytes[tensor] for tensor in reads[i] if tensor not in on_chip)
            for tensor in graph.outputs_of(kernel):
                num_bytes = self._tensor_bytes[tensor]
                stays = tensor in last_read and sum(on_chip.values()) + num_bytes <= self._sheet.on_chip_bytes
                if stays:
                    on_chip[tensor] = num_bytes
                if tensor in leaves or not stays:
                    moved += num_bytes
            on_chip = {tensor: num_bytes for tensor, num_bytes in on_chip.items() if last_read[tensor] > i}
            found.append((self._kernel_s(kernel), moved))
        return found

    def _kernel_s(self, kernel: Kernel) -> float:
        return self._compute_s[kernel[0]]  # folded operators cost no time of their own

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
