"""A model compiled beforehand on one device, in a process of its own, for when the devices of a plan fail."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from hetsim.core.plan import Plan, whole_plan
from hetsim.core.platform import Platform
from hetsim.models.model import Model
from hetsim.models.values.trust import TRUSTING, Trust
from hetsim.runtime.runtime import Runtime
from hetsim.runtime.session import Session


def standby_plan(model: Model, device: str) -> Plan:
    """The whole model as one segment of a device."""
    return whole_plan(model.graph, device, model_hash=model.hash, scheduler=f"standby:{device}")


@contextmanager
def standby(
    platform: Platform, model: Model, device: str, *, num_slots: int = 1, trust: Trust = TRUSTING
) -> Iterator[Session]:
    """A session of one device alone; its process sleeps until it is used.

    The process is not the one that the device has in a plan, so it also replaces a device whose process failed.

    Args:
        platform: The platform.
        model: What to load.
        device: Name of the device.
        num_slots: Requests that may be in flight.
        trust: What is assumed of inputs and accepted of devices.

    Raises:
        PlatformError: If the platform has no such device, or its engine is not on this machine.
        DeviceError: If the device does not support the model.
    """
    plan = standby_plan(model, device)
    with (
        Runtime(platform.only(device), trust=trust) as runtime,
        runtime.load(model, plan, num_slots=num_slots) as session,
    ):
        yield session
