"""Devices that come back after a failure, so that one operator that ends a worker does not end a verification."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from hetsim.core.errors import DeviceError
from hetsim.core.plan import Plan
from hetsim.core.platform import Platform
from hetsim.models.model import Model
from hetsim.runtime.runtime import Runtime
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


class Devices:
    """The devices of a platform, started when they are first needed, and again after a failure.

    Args:
        start: Makes a runtime for a platform.
        platform: The devices.
    """

    def __init__(self, start: Callable[[Platform], Runtime], platform: Platform) -> None:
        self.platform = platform
        self._start = start
        self._runtime: Runtime | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def runtime(self) -> Runtime:
        """The running devices.

        Raises:
            PlatformError: If an engine or core that the platform names is not on this machine.
            DeviceError: If a worker does not start.
        """
        if self._runtime is None:
            self._runtime = self._start(self.platform)
        return self._runtime

    def close(self) -> None:
        """End all workers; they start again when they are needed."""
        runtime, self._runtime = self._runtime, None
        if runtime is not None:
            runtime.close()

    def attempt(self, model: Model, plan: Plan, inputs: Sequence[Values]) -> Attempt:
        """Execute a plan once for each of ``inputs``; a refusal or failure is a result."""
        compiled: list[tuple[str, ...]] = []
        runtime = self.runtime
        try:
            with runtime.load(model, plan, on_compiled=compiled.append) as session:
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
