"""Devices that come back after a failure, so that one operator that ends a worker does not end a verification.

No operator is probed before it is loaded: to find out what devices compute is what a verification is for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from hetsim.core.errors import DeviceError
from hetsim.core.plan import Plan
from hetsim.core.platform import Platform
from hetsim.models.model import Model
from hetsim.runtime.devices import Devices
from hetsim.runtime.worker_pool import RefusedError

Values = Mapping[str, Any]
"""Values of tensors by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """An execution that may have ended early.

    Attributes:
        outputs: By input, the model's outputs; empty if the execution ended early.
        blamed: Operators of the segment that the engine refused or failed at; empty if it is not known which it was.
        reason: Why it ended early.
        is_refusal: Whether the engine refused the segment before running it.
    """

    outputs: tuple[Values, ...] = ()
    blamed: tuple[str, ...] = ()
    reason: str = ""
    is_refusal: bool = False


class RestartableDevices:
    """The devices of a platform, started when they are first needed, and again after a failure.

    Args:
        start: Starts the workers for a platform.
        platform: The devices.
    """

    def __init__(self, start: Callable[[Platform], Devices], platform: Platform) -> None:
        self.platform = platform
        self._start = start
        self._running: Devices | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def running(self) -> Devices:
        """The running devices.

        Raises:
            PlatformError: If an engine or core that the platform names is not on this machine.
            DeviceError: If a worker does not start.
        """
        if self._running is None:
            self._running = self._start(self.platform)
        return self._running

    def close(self) -> None:
        """End all workers; they start again when they are needed."""
        running, self._running = self._running, None
        if running is not None:
            running.close()

    def attempt(self, model: Model, plan: Plan, inputs: Sequence[Values]) -> Attempt:
        """Execute a plan once for each of ``inputs``; a refusal or failure is a result."""
        compiled: list[tuple[str, ...]] = []
        running = self.running
        try:
            with running.load(model, plan, on_compiled=compiled.append) as session:
                return Attempt(outputs=tuple(session.run(values, serial=True).outputs for values in inputs))
        except RefusedError as error:
            # A worker that cannot bind a compiled segment names its last one.
            named = () if error.segment in compiled else error.segment
            return Attempt(blamed=named, reason=_reason(error), is_refusal=True)
        except DeviceError as error:
            self.close()
            return Attempt(blamed=error.segment, reason=_reason(error))


def _reason(error: DeviceError) -> str:
    """The engine's reason, without the device and the segment, which are said elsewhere."""
    text = str(error)
    before, colon, reason = text.partition(": ")
    return reason if colon and before.startswith("device ") else text
