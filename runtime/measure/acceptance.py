"""What the engines of paced devices refuse: asked of each operator and of groups of them, before anything is planned.

Nothing is executed. The vendor's compiler gets every profiling configuration, from single operators to the whole model,
and what it refuses is recorded with its reason. Operators are not probed: what an engine makes of a plan is compared
with the reference when the plan is executed, and :func:`hetsim.verify` compares operator by operator.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

from hetsim.core.errors import DeviceError
from hetsim.core.platform import Device, Platform
from hetsim.costs.profile import Unsupported
from hetsim.costs.profile_file import ProfileFile
from hetsim.costs.refusals import refusal
from hetsim.models.model import Model
from hetsim.runtime.devices import Devices
from hetsim.runtime.measure.configurations import Parts, configuration_plan, profiling_configurations
from hetsim.runtime.measure.profiler import Progress
from hetsim.runtime.outputs_ahead import engines, load_or_refuse
from hetsim.runtime.worker_pool import RefusedError

_REST = "the rest"
"""Name of the device that takes what has been refused."""


def ask_engines(model: Model, platform: Platform, file: ProfileFile, *, progress: Progress | None = None) -> None:
    """Record in the model's profile what the engines of a platform's paced devices refuse; blocks.

    Args:
        model: The model.
        platform: The devices.
        file: Its profile.
        progress: Told how much of the work is done, and what comes next.

    Raises:
        PlatformError: If an engine is not on this machine.
        DeviceError: If an engine does not start.
    """
    report = progress or (lambda _done, _text: None)
    configurations = profiling_configurations(model.graph)
    for device in platform.paced_devices:
        _note_unsupported_kinds(model, device, file)
        with _Asked(model, device, file) as asked:
            for number, (name, parts) in enumerate(configurations.items()):
                report(number / len(configurations), f"{device.name}: {name}")
                asked.ask(parts)


class _Asked:
    """The engine of a paced device, started again whenever it has died; a context manager.

    Args:
        model: The model.
        device: The device.
        file: The model's profile, which gets the refusals.
    """

    def __init__(self, model: Model, device: Device, file: ProfileFile) -> None:
        self._model = model
        self._device = device.name
        rest = Device(name=_REST, kind="cpu", backend="onnxruntime", nature="stand-in")
        self._platform = Platform(name=device.name, devices=(device, rest))
        self._file = file
        self._devices: Devices | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def ask(self, parts: Parts) -> None:
        """Have the engine compile these parts; those with a refused operator are divided into single operators."""
        while True:
            profile, names = self._file.profile, self._platform.device_names
            plan = configuration_plan(self._model, profile, names, self._device, parts)
            if not plan.queues.get(self._device):
                return
            if self._devices is None:
                self._devices = engines(self._platform)
            try:
                load_or_refuse(self._devices, self._model, plan).close()
            except RefusedError as refused:
                if refused.device != self._device:
                    raise
                graph = self._model.graph
                self._file.add(refusal(graph, refused.device, refused.segment, str(refused), groups_alone=True))
                if isinstance(refused.__context__, DeviceError):  # its process has died
                    self._close()
            else:
                return

    def _close(self) -> None:
        running, self._devices = self._devices, None
        if running is not None:
            running.close()


def _note_unsupported_kinds(model: Model, device: Device, file: ProfileFile) -> None:
    kinds, known = device.supported_ops, file.profile.unsupported(device.name)
    for op in model.graph.ops:
        if kinds and not set(op.kinds) <= set(kinds) and (op.name,) not in known:
            reason = f"on the platform {device.name!r} supports only {', '.join(kinds)}, not {op.kind}"
            file.add(Unsupported(device=device.name, ops=(op.name,), reason=reason))
