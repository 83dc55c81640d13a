"""Costs on a device that is defined by its architecture."""

from __future__ import annotations

from functools import cache

from hetsim.core.platform import Device
from hetsim.core.problem import Latency
from hetsim.core.sources import Architecture
from hetsim.costs.hypothetical.kernels import Kernel, kernels
from hetsim.costs.hypothetical.shares import ShareCosts
from hetsim.costs.hypothetical.sheet import num_bytes_in
from hetsim.costs.hypothetical.zigzag import Cycles
from hetsim.models.model import Model


class ArchitectureCosts:
    """Times and memory traffic of segments on a device whose architecture ZigZag models.

    Every kernel reads its inputs from the memory and writes its outputs there: no tensor stays on the chip between
    kernels. An operator that ZigZag does not model takes the time of its memory traffic at the device's bandwidth; if
    the architecture states none, the device does not run it.

    Args:
        device: The device.
        architecture: Its architecture.
        model: The model.

    Raises:
        PlatformError: If the architecture's files cannot be read.
    """

    def __init__(self, device: Device, architecture: Architecture, model: Model) -> None:
        self._device = device
        self._architecture = architecture
        self._graph = model.graph
        self._cycles = Cycles(device.name, architecture, model)
        self._kernel_s = cache(self._compute_kernel_s)

    def latency(self, ops: tuple[str, ...]) -> Latency | None:
        """The latency of the operators as one segment; None where the device does not run one of them."""
        supported = self._device.supported_ops
        if supported and not all(set(supported).issuperset(self._graph.by_name[op].kinds) for op in ops):
            return None
        total_s = self._device.launch_s
        for kernel in kernels(self._graph, ops, self._architecture.folded_ops):
            kernel_s = self._kernel_s(kernel)
            if kernel_s is None:
                return None
            total_s += kernel_s
        return Latency(total_s, stated=True)

    def traffic_bytes(self, ops: tuple[str, ...]) -> int:
        """Bytes that the operators move to and from the memory as one segment."""
        return sum(self._moved(kernel) for kernel in kernels(self._graph, ops, self._architecture.folded_ops))

    def of_parts(self, model: Model) -> ShareCosts:
        """The costs of a model that was rewritten from this one: by the share, as ZigZag takes seconds for a shape."""
        return ShareCosts(self._device, self, model)

    def _compute_kernel_s(self, kernel: Kernel) -> float | None:
        """The time of a kernel in seconds; None where the device does not run it."""
        if self._cycles.has_model(kernel[0]):
            return self._cycles.cycles(kernel[0]) / self._architecture.clock_hz
        bandwidth = self._architecture.memory_bytes_per_s
        return None if bandwidth is None else self._moved(kernel) / bandwidth

    def _moved(self, kernel: Kernel) -> int:
        tensors = dict.fromkeys((*self._graph.inputs_of(kernel), *self._graph.outputs_of(kernel)))
        sizes = [(self._graph.tensors[name].num_bytes, self._graph.tensors[name].dtype) for name in tensors]
        sizes += [(self._graph.by_name[op].weight_bytes, "float32") for op in kernel]
        return sum(num_bytes_in(self._device, num_bytes, dtype) for num_bytes, dtype in sizes)
