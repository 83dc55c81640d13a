"""Devices as processes: load plans, execute them, measure segments."""

from runtime.devices import RefusedError, Runtime
from runtime.session import Inference, Session

__all__ = ["Inference", "RefusedError", "Runtime", "Session"]
