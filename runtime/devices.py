"""The devices of a platform on this machine, ready to load plans; they are believed whatever they compute."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from hetsim.core.dataflow import Dataflow, check_plan
from hetsim.core.errors import PlatformError
from hetsim.core.plan import Plan
from hetsim.core.platform import Device, Platform
from hetsim.models.model import Model
from hetsim.models.segments.files import SegmentStore
from hetsim.models.split.planned import planned_model
from hetsim.runtime.backends.emulated import EMULATED
from hetsim.runtime.backends.protocol import Array
from hetsim.runtime.emulation import Emulation
from hetsim.runtime.interference_monitor import InterferenceMonitor
from hetsim.runtime.machine.system import available_cores, require_system
from hetsim.runtime.serving.service import ServiceSession
from hetsim.runtime.session import Session
from hetsim.runtime.worker.arena import Arena, Layout, plan_layout
from hetsim.runtime.worker.device_local import MODEL_PRECISION
from hetsim.runtime.worker.program import Program, build_programs
from hetsim.runtime.worker_pool import WorkerPool


class Devices:
    """Worker processes for all devices of a platform.

    Use it as a context manager; leaving it ends the workers and frees all shared memory.

    Args:
        platform: The devices; their engines and cores must be on this machine.
        spin_s: How long a worker spins for another device's result before it sleeps. It should exceed the waits inside
            a plan, as waking up from sleep takes about 50 microseconds.
        idle_spin_s: How long a worker spins for the next request before it sleeps, so that workers are still awake for
            a request that follows immediately.
        cache_bytes: Weights of compiled segments that each worker may keep although no loaded plan needs them.
        stall_s: A request that takes longer than this fails, and the process that delays it is ended. A worker that
            does not answer a message within this time counts as failed, too.
        slow_s: The least time that any segment may take. A segment fails when it takes longer than this and fifty
            times its longest run so far (:mod:`hetsim.runtime.hang_detector`).

    Attributes:
        platform: The devices.
        interference_monitor: Learns from all serial runs of this runtime how fast the cores are when undisturbed.

    Raises:
        PlatformError: If an engine or core that the platform names is not on this machine, or this is not Linux.
        DeviceError: If a worker does not start.
    """

    def __init__(
        self,
        platform: Platform,
        *,
        spin_s: float = 0.02,
        idle_spin_s: float = 5e-3,
        cache_bytes: int = 256 * 2**20,
        stall_s: float = 30.0,
        slow_s: float = 0.4,
    ) -> None:
        require_system()
        for device in platform.devices:
            _check_cores(device)
        self.platform = platform
        self.interference_monitor = InterferenceMonitor()
        self._stall_s = stall_s
        self._slow_s = slow_s
        self._stores: dict[str, SegmentStore] = {}
        self._num_sessions = 0
        self._pool = WorkerPool(
            platform, spin_s=spin_s, idle_spin_s=idle_spin_s, cache_bytes=cache_bytes, answer_timeout_s=stall_s
        )
        self._folder = tempfile.TemporaryDirectory(prefix="hetsim-")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def engines(self) -> dict[str, str]:
        """By device, its engine with version and settings."""
        return self._pool.engines

    @property
    def pids(self) -> dict[str, int]:
        """By device, the process identifier of its worker."""
        return self._pool.pids

    def load(
        self,
        model: Model,
        plan: Plan,
        *,
        num_slots: int = 1,
        on_compiled: Callable[[tuple[str, ...]], None] | None = None,
        emulation: Emulation | None = None,
        check_numbers: bool = False,
        check_inputs: Callable[[Mapping[str, Array]], None] | None = None,
    ) -> Session:
        """Compile a plan's segments on their devices, on all devices at once; blocks until all are compiled.

        Args:
            model: The model.
            plan: A plan for this model; its rewrites are applied here.
            num_slots: Requests that may be in flight, each with its own memory.
            on_compiled: Told the operators of each segment that has been compiled.
            emulation: Durations and outputs of emulated devices; needed if the platform has any.
            check_numbers: Search all outputs of all segments for NaN, and fail the segment that makes it. This takes
                time.
            check_inputs: Raises an error for inputs that the plan cannot be given.

        Raises:
            PlanError: If the plan is not valid for the model, or there is not enough memory for its tensors.
            PlatformError: If ``emulation`` does not describe exactly the emulated devices of the platform.
            RefusedError: If an engine does not support a segment.
            DeviceError: If a worker died.
        """
        model = planned_model(model, plan)
        flow = check_plan(model.graph, plan, device_names=self.platform.device_names, model_hash=model.hash)
        self._check_emulated(emulation)
        emulation = None if emulation is None else emulation.for_plan(plan)
        self._pool.pause()
        programs, layout = self._build(model, flow, num_slots, emulation, check_numbers=check_numbers)
        arena = Arena(layout)
        self._num_sessions += 1
        session = Session(
            self._pool,
            self._num_sessions,
            flow,
            arena,
            tuple(programs),
            emulation,
            interference_monitor=self.interference_monitor,
            check_inputs=check_inputs,
            stall_s=self._stall_s,
            slow_s=self._slow_s,
        )
        try:
            self._pool.load(session, programs, arena, on_compiled)
        except BaseException:
            session.close()
            raise
        return session

    def together(self, sessions: Sequence[Session]) -> ServiceSession:
        """Loaded plans that serve requests together."""
        return ServiceSession(self._pool, sessions)

    def close(self) -> None:
        """End all workers, busy or not, and delete the segments' files; closing twice is harmless."""
        self._pool.close()
        self._folder.cleanup()

    def _build(
        self, model: Model, flow: Dataflow, num_slots: int, emulation: Emulation | None, *, check_numbers: bool
    ) -> tuple[dict[str, Program], Layout]:
        """Each device's program, with its segments' files written, and the layout of the shared memory."""
        store = self._store(model)
        hand_overs = () if emulation is None else emulation.hand_overs(flow)
        layout = plan_layout(
            flow,
            num_devices=len(self.platform.devices),
            num_slots=num_slots,
            num_hand_overs=len(hand_overs),
            boxes=self._boxes(flow),
        )
        programs = build_programs(
            flow,
            layout,
            model,
            store,
            self.platform.device_names,
            own_format_devices=[d.name for d in self.platform.devices if d.precision != MODEL_PRECISION],
            hand_overs=hand_overs,
            emulated=None if emulation is None else emulation.write_segments(flow, store.folder),
            check_numbers=check_numbers,
        )
        return programs, layout

    def _boxes(self, flow: Dataflow) -> str:
        """A folder for the next session's opaque values; empty if it has none."""
        if not any(tensor.is_opaque for tensor in flow.graph.tensors.values()):
            return ""
        folder = Path(self._folder.name) / f"boxes-{self._num_sessions + 1}"
        folder.mkdir(exist_ok=True)
        return str(folder)

    def _check_emulated(self, emulation: Emulation | None) -> None:
        emulated = tuple(device.name for device in self.platform.devices if device.backend == EMULATED)
        described = () if emulation is None else emulation.devices
        if set(emulated) != set(described):
            raise PlatformError(
                f"the platform emulates {', '.join(emulated) or 'no device'}, but the emulation describes "
                f"{', '.join(described) or 'none'}; load the plan with an emulation of the same devices"
            )

    def _store(self, model: Model) -> SegmentStore:
        if model.hash not in self._stores:
            folder = Path(self._folder.name) / model.hash[:16]
            folder.mkdir()
            self._stores[model.hash] = SegmentStore(model.base or model, folder)
        return self._stores[model.hash]


def _check_cores(device: Device) -> None:
    available = available_cores()
    missing = [core for core in device.cores if core not in available]
    if missing:
        raise PlatformError(
            f"device {device.name!r} is pinned to core {missing[0]}, but this process may use cores "
            f"{', '.join(map(str, available))}; change device.{device.name}.cores"
        )
