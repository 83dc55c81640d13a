"""What the two kinds of placements share: what is exported, and what an engine made of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from typing import Any

from hetsim.core.plan import Plan
from hetsim.core.platform import Device, Platform
from hetsim.models.model import Model
from hetsim.runtime.placement.files import Difference, Settings


@dataclass(frozen=True, kw_only=True)
class Job:
    """A plan to be handed to an engine.

    Attributes:
        model: The model, rewritten if the plan splits operators.
        plan: The plan, with operators in the model's order.
        platform: All devices.
        tolerance: The largest error of an output that is still right, relative to its largest magnitude.
    """

    model: Model
    plan: Plan
    platform: Platform
    tolerance: float

    @cached_property
    def devices(self) -> tuple[Device, ...]:
        """The devices that the plan uses, in the platform's order."""
        return tuple(device for device in self.platform.devices if self.plan.queues.get(device.name))

    @cached_property
    def device_of(self) -> Mapping[str, str]:
        """By ONNX node, its device."""
        return {
            node.name: segment.device
            for segment in self.plan.segments
            for op in segment.ops
            for node in self.model.nodes_of(op)
        }

    @cached_property
    def first_nodes(self) -> Mapping[str, str]:
        """By operator, its first ONNX node."""
        return {op.name: self.model.nodes_of(op.name)[0].name for op in self.model.graph.ops}

    @cached_property
    def num_nodes_by_device(self) -> Mapping[str, int]:
        """By device of the plan, how many ONNX nodes it runs."""
        return Counter(self.device_of.values())

    def settings(self, target: str, **own: Any) -> Settings:
        """The settings with what is the same for all engines."""
        return Settings(
            target=target,
            made_by=f"hetsim {version('hetsim')}",
            model=self.model.name,
            model_hash=self.model.hash,
            plan_digest=self.plan.digest,
            tolerance=self.tolerance,
            **own,
        )


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What an engine made of a placement.

    Attributes:
        differences: Nodes that do not run as planned.
        places: By operator, where it runs, in the engine's words.
        device_of: By place, the device of the platform whose measurements tell its times; places may be missing.
        devices: By device of the plan, what it is to the engine.
        lost: What of the plan is lost, a line each.
    """

    differences: tuple[Difference, ...]
    places: Mapping[str, str]
    device_of: Mapping[str, str]
    devices: Mapping[str, str]
    lost: tuple[str, ...]
