"""Costs of parts of operators on a device that states the times of whole operators alone."""

from __future__ import annotations

from typing import Protocol

from hetsim.core.platform import Device
from hetsim.core.problem import Latency
from hetsim.costs.parts import is_whole, part_seconds, work_of
from hetsim.models.model import Model


class WholeCosts(Protocol):
    """Times and memory traffic of segments of whole operators on one device."""

    def latency(self, ops: tuple[str, ...]) -> Latency | None:
        """The latency of the operators as one segment; None where they cannot run."""
        ...

    def traffic_bytes(self, ops: tuple[str, ...]) -> int:
        """Bytes that they move to and from the memory as one segment."""
        ...


class ShareCosts:
    """Times and memory traffic of segments of a rewritten model, predicted from those of whole operators.

    A part takes its share of the operators' time (:func:`hetsim.costs.parts.part_seconds`) and moves its share
    of their bytes, and what it copies twice. A device that lists what it supports slices and concatenates only if the
    list says so.

    Args:
        device: The device.
        whole: Its costs of the original model.
        model: The rewritten model.
    """

    def __init__(self, device: Device, whole: WholeCosts, model: Model) -> None:
        self._device = device
        self._whole = whole
        self._model = model

    def latency(self, ops: tuple[str, ...]) -> Latency | None:
        """The latency of the operators as one segment; None where the device does not run one of them."""
        supported, graph = self._device.supported_ops, self._model.graph
        if supported and any(graph.by_name[op].moves_data and graph.by_name[op].kind not in supported for op in ops):
            return None
        work = work_of(self._model, ops)
        if is_whole(work):
            return self._whole.latency(tuple(work.shares))
        seconds = part_seconds(work, self._whole.latency, self._device.launch_s)
        return None if seconds is None else Latency(seconds)

    def traffic_bytes(self, ops: tuple[str, ...]) -> int:
        """Bytes that the operators move to and from the memory as one segment."""
        work = work_of(self._model, ops)
        if not work.shares:
            return 2 * work.copied_bytes
        share = sum(work.shares.values()) / len(work.shares)
        return round(share * self._whole.traffic_bytes(tuple(work.shares))) + 2 * work.copied_bytes

    def of_parts(self, model: Model) -> ShareCosts:
        """The costs of another model that was rewritten from the original one."""
        return ShareCosts(self._device, self._whole, model)
