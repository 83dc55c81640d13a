"""The devices of a platform, believed where a probe confirms what they compute."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from hetsim.core.plan import Plan
from hetsim.core.platform import Platform
from hetsim.core.serving.service import Service
from hetsim.models.model import Model
from hetsim.models.split.planned import planned_model
from hetsim.models.values.trust import TRUSTING, Trust
from hetsim.runtime.devices import Devices
from hetsim.runtime.emulation import Emulation
from hetsim.runtime.interference_monitor import InterferenceMonitor
from hetsim.runtime.probe.check import PlanCheck
from hetsim.runtime.serving.service import ServiceSession
from hetsim.runtime.session import Session


class Runtime:
    """Worker processes for all devices of a platform, which load plans of operators that they compute rightly.

    Use it as a context manager; leaving it ends the workers and frees all shared memory.

    Args:
        platform: The devices; their engines and cores must be on this machine.
        trust: What is assumed of inputs and accepted of devices.
        spin_s: How long a worker spins for another device's result before it sleeps. It should exceed the waits inside
            a plan, as waking up from sleep takes about 50 microseconds.
        idle_spin_s: How long a worker spins for the next request before it sleeps, so that workers are still awake for
            a request that follows immediately.
        cache_bytes: Weights of compiled segments that each worker may keep although no loaded plan needs them.
        stall_s: A request that takes longer than this fails, and the process that delays it is ended. A worker that
            does not answer a message within this time counts as failed, too.
        slow_s: The least time that any segment may take. A segment fails when it takes longer than this and fifty
            times its longest run so far (:mod:`hetsim.runtime.hang_detector`).

    Raises:
        PlatformError: If an engine or core that the platform names is not on this machine, or this is not Linux.
        DeviceError: If a worker does not start.
    """

    def __init__(
        self,
        platform: Platform,
        *,
        trust: Trust = TRUSTING,
        spin_s: float = 0.02,
        idle_spin_s: float = 5e-3,
        cache_bytes: int = 256 * 2**20,
        stall_s: float = 30.0,
        slow_s: float = 0.4,
    ) -> None:
        self._devices = Devices(
            platform,
            spin_s=spin_s,
            idle_spin_s=idle_spin_s,
            cache_bytes=cache_bytes,
            stall_s=stall_s,
            slow_s=slow_s,
        )
        self._check = PlanCheck(platform, self._devices.engines, trust)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def platform(self) -> Platform:
        """The devices."""
        return self._devices.platform

    @property
    def trust(self) -> Trust:
        """What is assumed of inputs and accepted of devices."""
        return self._check.trust

    @property
    def interference_monitor(self) -> InterferenceMonitor:
        """What learns from all serial runs of this runtime how fast the cores are when undisturbed."""
        return self._devices.interference_monitor

    @property
    def engines(self) -> dict[str, str]:
        """By device, its engine with version and settings."""
        return self._devices.engines

    @property
    def pids(self) -> dict[str, int]:
        """By device, the process identifier of its worker."""
        return self._devices.pids

    def load(
        self,
        model: Model,
        plan: Plan,
        *,
        num_slots: int = 1,
        on_compiled: Callable[[tuple[str, ...]], None] | None = None,
        emulation: Emulation | None = None,
        check_numbers: bool = False,
        probe: bool = True,
    ) -> Session:
        """Compile a plan's segments on their devices, on all devices at once; blocks until all are compiled.

        Operators that a device has not been seen to compute are probed on it first, in a process of their own.

        Args:
            model: The model.
            plan: A plan for this model; its rewrites are applied here.
            num_slots: Requests that may be in flight, each with its own memory.
            on_compiled: Told the operators of each segment that has been compiled.
            emulation: Durations and outputs of emulated devices; needed if the platform has any.
            check_numbers: Search all outputs of all segments for NaN, and fail the segment that makes it. This takes
                time.
            probe: Whether devices must compute the operators as the reference does. Parts of a model whose operators
                have been probed need not be probed again.

        Raises:
            PlanError: If the plan is not valid for the model, or there is not enough memory for its tensors.
            PlatformError: If ``emulation`` does not describe exactly the emulated devices of the platform.
            RefusedError: If an engine does not support a segment, or does not compute an operator as the reference does
                for values that can occur.
            DeviceError: If a worker died.
        """
        planned = planned_model(model, plan)
        check_inputs = self._check.of_plan(planned, plan) if probe else None
        return self._devices.load(
            model,
            plan,
            num_slots=num_slots,
            on_compiled=on_compiled,
            emulation=emulation,
            check_numbers=check_numbers,
            check_inputs=check_inputs,
        )

    def load_service(
        self,
        service: Service,
        models: Mapping[str, Model],
        *,
        emulations: Mapping[str, Emulation] | None = None,
        on_compiled: Callable[[tuple[str, ...]], None] | None = None,
    ) -> ServiceSession:
        """Compile the plans of all instances of a service; as :meth:`load` does, one after another.

        Args:
            service: The service.
            models: By workload, its model.
            emulations: By workload, durations and outputs of emulated devices; needed if the platform has any.
            on_compiled: Told the operators of each segment that has been compiled.

        Raises:
            HetsimError: As :meth:`load` does.
        """
        sessions: list[Session] = []
        try:
            for workload in service.workloads:
                for one in workload.deployment.instances:
                    emulation = None if emulations is None else emulations[workload.name]
                    sessions.append(
                        self.load(
                            models[workload.name],
                            one.plan,
                            num_slots=one.num_slots,
                            on_compiled=on_compiled,
                            emulation=emulation,
                        )
                    )
        except BaseException:
            for session in sessions:
                session.close()
            raise
        return self._devices.together(sessions)

    def close(self) -> None:
        """End all workers, busy or not, and delete the segments' files; closing twice is harmless."""
        self._check.close()
        self._devices.close()
