"""A model ready on one device, for when the devices of a plan fail: compiled beforehand, in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from hetsim.core.plan import Plan, whole_plan
from hetsim.core.platform import Platform
from hetsim.models.model import Model
from hetsim.runtime.devices import Runtime
from hetsim.runtime.session import Session


def standby_plan(model: Model, device: str) -> Plan:
    """The whole model as one segment of that device."""
    return whole_plan(model.graph, device, model_hash=model.hash, scheduler=f"standby:{device}")


@contextmanager
def standby(platform: Platform, model: Model, device: str, *, num_slots: int = 1) -> Iterator[Session]:
    """A session on that device alone, which sleeps until it is needed.

    Its process is another one than the device has in a plan, so it also stands in for that.

    Raises:
        PlatformError: If the platform has no such device, or its engine is not here.
        DeviceError: If the device does not take the model.
    """
    plan = standby_plan(model, device)
    with Runtime(platform.only(device)) as runtime, runtime.load(model, plan, num_slots=num_slots) as session:
        yield session
