"""Whether the devices of a plan compute its operators as the reference does, by probes that are made where needed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from hetsim.core.errors import ModelError
from hetsim.core.plan import Plan
from hetsim.core.platform import Device, Platform
from hetsim.io.cache import cache_folder
from hetsim.models.model import Model, random_inputs
from hetsim.models.nodes import is_random
from hetsim.models.ranges.propagation import ValueRanges
from hetsim.models.reference import VERSION, evaluate
from hetsim.models.values.trust import Trust
from hetsim.runtime.machine.fingerprint import machine_fingerprint
from hetsim.runtime.probe.bench import INCOMPARABLE, ProbeBench
from hetsim.runtime.probe.inputs import InputCheck
from hetsim.runtime.probe.probes import Probe, make_probe, undrawn
from hetsim.runtime.probe.together import together
from hetsim.runtime.probe.verdicts import Verdict, Verdicts
from hetsim.runtime.worker_pool import RefusedError

_NUM_RUNS = 2
"""Real runs that show the values of tensors."""


class _Probed:
    """A model with what has been found out about it: ranges and the probes of its operators."""

    def __init__(self, model: Model, trust: Trust) -> None:
        self.model = model
        self.ranges = ValueRanges(model, trust)
        self._trust = trust
        self._probes: dict[tuple[str, ...], Probe] = {}
        self._runs: list[dict[str, Any]] = []
        self._is_runnable = True

    def probe(self, ops: tuple[str, ...]) -> Probe:
        """The probe of some operators."""
        return self.probes((ops,))[0]

    def probes(self, wanted: Sequence[tuple[str, ...]]) -> list[Probe]:
        """Probes, each of some operators."""
        shaped = [ops for ops in wanted if ops not in self._probes and undrawn(self.model, ops)]
        with suppress(ModelError):  # the reference does not run on random inputs, so that there are no real runs
            self._run({name for ops in shaped for name in self.model.graph.inputs_of(ops)})
        for ops in wanted:
            if ops not in self._probes:
                ran = ops in shaped and all(
                    name in run for run in self._runs for name in self.model.graph.inputs_of(ops)
                )
                self._probes[ops] = make_probe(self.model, self.ranges, ops, self._runs if ran else ())
        return [self._probes[ops] for ops in wanted]

    def _run(self, tensors: set[str]) -> None:
        """Find what tensors are in real runs on random inputs, on the reference engine."""
        missing = sorted(name for name in tensors if not self._runs or name not in self._runs[0])
        if not missing:
            return
        if not self._runs and self._is_runnable:
            self._runs = [random_inputs(self.model, seed=seed, trust=self._trust) for seed in range(_NUM_RUNS)]
        inputs = self.model.graph.inputs
        made = [name for name in missing if name not in inputs]
        if not made or not self._runs:
            return
        own, given = self.model, [{name: run[name] for name in inputs} for run in self._runs]
        try:
            found = [evaluate(own.proto, one, made, custom_ops=own.custom_ops) for one in given]
        except ModelError:  # random inputs mean nothing to the model
            self._runs = []
            self._is_runnable = False
            return
        for run, values in zip(self._runs, found, strict=True):
            run.update(values)


class PlanCheck:
    """Checks plans for a platform's devices.

    Args:
        platform: The devices.
        engines: By device, its engine with version and settings.
        trust: What is assumed of inputs and accepted of devices.
        folder: Where verdicts are stored; by default in the user's cache.

    Attributes:
        trust: What is assumed of inputs and accepted of devices.
    """

    def __init__(
        self, platform: Platform, engines: Mapping[str, str], trust: Trust, *, folder: Path | None = None
    ) -> None:
        self.trust = trust
        self._platform = platform
        self._engines = engines
        self._models: dict[str, _Probed] = {}
        self._benches: dict[str, ProbeBench] = {}
        folder = cache_folder() / "probes" if folder is None else folder
        self._verdicts = {
            device.name: Verdicts(_what_decides(device, engines[device.name]), folder)
            for device in platform.devices
            if not is_exempt(device)
        }

    def close(self) -> None:
        """End the processes that probes ran in."""
        for bench in self._benches.values():
            bench.close()
        self._benches.clear()

    def of_plan(self, model: Model, plan: Plan) -> InputCheck:
        """Probe what has not been probed; returns the check of the plan's inputs.

        Args:
            model: The model whose operators the plan's segments name.
            plan: The plan.

        Raises:
            RefusedError: If a device computes an operator, or a segment, differently from the reference for values that
                can occur.
            DeviceError: If a device's process does not start.
        """
        base = model.base or model
        if base.hash not in self._models:
            self._models[base.hash] = _Probed(base, self.trust)
        probed = self._models[base.hash]
        probing = [name for name in plan.queues if name in self._verdicts]
        for device in probing:
            singles = [
                ((op,), (original,))
                for segment in plan.queues[device]
                for op in segment.ops
                if (original := _original(model, op)) and not self._is_believed(base, device, original)
            ]
            self._check(probed, device, singles)
            if model.base is None:
                alone = {op for (op,), _ in singles}
                segments = [segment.ops for segment in plan.queues[device] if alone.issuperset(segment.ops)]
                self._check(
                    probed, device, [(ops, part) for ops in segments for part in together(base, probed.ranges, ops)]
                )
        return InputCheck(base.graph, probed.ranges, self.trust, rests_on_finite=bool(probing))

    def _is_believed(self, model: Model, device: str, op: str) -> bool:
        """Whether an operator needs no probe: it is accepted, or nothing can be compared."""
        graph, found = model.graph, model.graph.by_name[op]
        return (
            any(map(is_random, model.nodes_of(op)))
            or self.trust.accepts(device, found.kind)
            or all(self.trust.accepts(device, kind) for kind in found.kinds)
            or any(graph.tensors[name].is_opaque for name in (*found.inputs, *found.outputs))
        )

    def _check(self, probed: _Probed, device: str, wanted: Sequence[tuple[tuple[str, ...], tuple[str, ...]]]) -> None:
        """Raise the refusal of the first operators whose probe deviates.

        Args:
            probed: The model.
            device: The device.
            wanted: Operators of the plan, each time with those of the model that stand for them in a probe.
        """
        verdicts = self._verdicts[device]
        probes = probed.probes([originals for _, originals in wanted])
        unknown = {probe.key: probe for probe in probes if probe.has_values and verdicts.get(probe.key) is None}
        if unknown:
            found = self._bench(device).verdicts(list(unknown.values()))
            for probe, verdict in zip(unknown.values(), found, strict=True):
                verdicts.add(probe.key, probe.kind, verdict)
        for (ops, _), probe in zip(wanted, probes, strict=True):
            known = verdicts.get(probe.key) if probe.has_values else Verdict(deviates=INCOMPARABLE)
            if known is not None and known.deviates:
                raise self._refusal(device, ops, probe, known)

    def _refusal(self, device: str, ops: tuple[str, ...], probe: Probe, verdict: Verdict) -> RefusedError:
        dtype = (probe.inputs[0] if probe.inputs else probe.outputs[0]).dtype
        accept = f"--accept {device}:{probe.kind}"
        what = f"{probe.kind} of {dtype}" if probe.num_ops == 1 else f"{probe.num_ops} operators together"
        difference = f"it computes {what} differently from the reference: {verdict.deviates}"
        if verdict.deviates == INCOMPARABLE:
            difference = f"nothing shows that it computes {what} as the reference does, since {INCOMPARABLE}"
        return RefusedError(
            f"device {device!r} ({self._engines[device]}) refuses segment {ops[0]!r} of {len(ops)}: {difference}; "
            f"accept it with {accept}",
            device=device,
            segment=ops,
        )

    def _bench(self, device: str) -> ProbeBench:
        if device not in self._benches:
            self._benches[device] = ProbeBench(self._platform.only(device))
        return self._benches[device]


def is_exempt(device: Device) -> bool:
    """Whether a device needs no probes: the reference engine itself, and devices that compute nothing."""
    if device.backend == "onnxruntime":
        return device.target in ("", "CPUExecutionProvider") and device.precision == "f32"
    return device.backend != "openvino"


def _what_decides(device: Device, engine: str) -> str:
    """An engine with what decides of what it computes: not its number of threads."""
    engine = re.sub(r",? \d+ thread\(s\)", "", engine)
    options = " ".join(f"{key}={value}" for key, value in sorted(device.options.items()))
    return f"{engine} {device.precision} {options} on {machine_fingerprint()}, reference {VERSION}"


def _original(model: Model, op: str) -> str | None:
    """The operator of the base that decides whether an operator is believed; None for one that only moves data."""
    if model.base is None:
        return op if op in model.graph.by_name else None
    return model.original_op.get(op)
