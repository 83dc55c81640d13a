"""Probes on a device: many side by side in one session, each compared with the reference batch by batch."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

import numpy as np
import onnx

from hetsim.core.deviation import OPERATOR_TOLERANCE, deviation
from hetsim.core.errors import DeviceError, ModelError
from hetsim.core.graph import Graph, Op, Tensor
from hetsim.core.plan import Plan, Segment
from hetsim.core.platform import Platform
from hetsim.models.model import Model
from hetsim.models.nodes import rename_tensors
from hetsim.models.ranges.interval import is_float, is_integer
from hetsim.models.ranges.sizes import BY_ELEMENT
from hetsim.models.reference import evaluate
from hetsim.runtime.devices import Devices
from hetsim.runtime.probe.probes import Probe
from hetsim.runtime.probe.values import batch, num_batches
from hetsim.runtime.probe.verdicts import Verdict
from hetsim.runtime.worker_pool import RefusedError

INCOMPARABLE = "the reference refuses all values that were tried"
"""What is found of a probe that the reference cannot run."""

Array = np.ndarray
Values = Mapping[str, Array]

_AT_ONCE = 64
"""So many probes share a session."""
_TOLERANCE_BY_TYPE = {"float64": 1e-10, "float16": OPERATOR_TOLERANCE["f16"], "bfloat16": OPERATOR_TOLERANCE["bf16"]}
_NEGLIGIBLE = 2.5 * float(np.finfo(np.float32).eps)
_ELEMENT_TOLERANCE = 1e-3
_SEVERAL = 50.0
"""Errors of several operators one after the other may exceed that of one by so much."""


class ProbeBench:
    """A device in a process of its own, which a probe may end.

    Args:
        platform: A platform with this device alone.
    """

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._device = platform.devices[0]
        self._devices: Devices | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        if self._devices is not None:
            self._devices.close()
            self._devices = None

    def verdicts(self, probes: Sequence[Probe]) -> list[Verdict]:
        """What the device makes of each probe; what its engine refuses deviates in nothing.

        Raises:
            DeviceError: If the device's process does not start.
        """
        found = {i: Verdict(deviates=INCOMPARABLE) for i, probe in enumerate(probes) if not probe.has_values}
        left = [i for i in range(len(probes)) if i not in found]
        for start in range(0, len(left), _AT_ONCE):
            some = left[start : start + _AT_ONCE]
            found.update(zip(some, self._judge([probes[i] for i in some]), strict=True))
        return [found[i] for i in range(len(probes))]

    def _judge(self, probes: Sequence[Probe]) -> list[Verdict]:
        batches = [
            [batch(probe, number, self._device.precision) for probe in probes]
            for number in range(max(map(num_batches, probes)))
        ]
        expected = [_references(probes, values) for values in batches]
        shaped = [next((one[i] for one in expected if one[i] is not None), None) for i in range(len(probes))]
        verdicts = {i: Verdict(deviates=INCOMPARABLE) for i, one in enumerate(shaped) if one is None}
        while len(verdicts) < len(probes):
            left = [i for i in range(len(probes)) if i not in verdicts]
            try:
                self._run(probes, {i: shaped[i] or {} for i in left}, batches, expected, verdicts)
            except RefusedError as refusal:
                verdicts[int(refusal.segment[0])] = Verdict()
            except DeviceError as failure:
                self.close()  # its process has ended, or cannot be relied on
                self._blame(failure, left, verdicts)
        return [verdicts[i] for i in range(len(probes))]

    def _blame(self, failure: DeviceError, left: Sequence[int], verdicts: dict[int, Verdict]) -> None:
        """Find who made the device fail; if it does not say, whoever does so alone."""
        if failure.segment:
            verdicts[int(failure.segment[0])] = Verdict(deviates=f"it fails: {failure}")
            return
        verdicts.update({i: Verdict(deviates=f"it fails: {failure}") for i in left})

    def _run(
        self,
        probes: Sequence[Probe],
        outputs: Mapping[int, Values],
        batches: Sequence[Sequence[Values]],
        expected: Sequence[Sequence[Values | None]],
        verdicts: dict[int, Verdict],
    ) -> None:
        """Run those that are left, whose outputs have these shapes, and add the verdict on each."""
        if self._devices is None:
            self._devices = Devices(self._platform, spin_s=0.0, idle_spin_s=0.0)
        model = _side_by_side(probes, outputs)
        plan = Plan(
            model=model.name,
            queues={self._device.name: tuple(Segment(self._device.name, (str(i),)) for i in outputs)},
        )
        found: dict[int, Verdict] = {}
        with self._devices.load(model, plan) as session:
            for values, rights in zip(batches, expected, strict=True):
                inputs = {_own(i, name): array for i in outputs for name, array in values[i].items()}
                made = session.run(inputs, serial=True).outputs
                for i in outputs:
                    right = rights[i]
                    if i in found or right is None or not _same_shapes(right, outputs[i]):
                        continue
                    ours = {name: made[_own(i, name)] for name in right}
                    wrong = first_deviation(
                        probes[i], values[i], ours, right, outputs[i], precision=self._device.precision
                    )
                    if wrong:
                        found[i] = Verdict(deviates=wrong)
        verdicts.update({i: found.get(i, Verdict()) for i in outputs})


def first_deviation(
    probe: Probe, inputs: Values, ours: Values, right: Values, ordinary: Values, *, precision: str
) -> str:
    """How the first output that deviates does so, with the values that it was made of; empty if none deviates.

    Args:
        probe: What was run.
        inputs: Its inputs.
        ours: The device's outputs.
        right: The reference's outputs.
        ordinary: The reference's outputs for ordinary inputs. Errors that are beyond single precision beside these are
            no deviation, however small the outputs are.
        precision: The device's precision.
    """
    for output in probe.outputs:
        found, expected = ours[output.name], right[output.name]
        if is_float(output.dtype) and not output.special:
            beyond = ~np.isfinite(expected.astype(np.float64))
            if beyond.any():  # what overflows is left out of what is assumed
                found, expected = np.where(beyond, 0, found), np.where(beyond, 0, expected)
                found, expected = found.astype(output.dtype), expected.astype(output.dtype)
        tolerance = OPERATOR_TOLERANCE.get(precision, OPERATOR_TOLERANCE["f32"])
        tolerance = max(tolerance, _TOLERANCE_BY_TYPE.get(output.dtype, 0.0))
        if output.dtype == "float64" and precision == "f32":
            tolerance = _TOLERANCE_BY_TYPE["float64"]
        if probe.num_ops > 1:
            tolerance *= _SEVERAL
        wrong = deviation(found, expected)
        if wrong.exceeds(tolerance) and (wrong.is_exact or not wrong.max_abs <= _floor(ordinary[output.name])):
            return _said(probe, inputs, str(wrong), wrong.index, expected.shape)
        alone = probe.num_ops == 1 and probe.kind in BY_ELEMENT
        converts = any(is_integer(given.dtype) for given in probe.inputs)
        if output.dtype == "float32" and precision == "f32" and alone and (output.special or converts):
            # Nothing is assumed of these floats, not even that small ones do not matter beside large ones; and batches
            # of integers have all magnitudes.
            off = _by_element(found, expected, ordinary[output.name])
            if off is not None:
                said = f"{found[off]} at {list(off)} instead of {expected[off]}"
                return _said(probe, inputs, said, off, expected.shape)
    return ""


def _by_element(found: Array, expected: Array, ordinary: Array) -> tuple[int, ...] | None:
    """The element that is furthest beyond the tolerance of ONNX's suite, which is relative to each; None if none is."""
    finite = np.isfinite(found) & np.isfinite(expected)
    found, expected = np.where(finite, found, 0), np.where(finite, expected, 0)
    allowed = _ELEMENT_TOLERANCE * np.abs(expected.astype(np.float64)) + _floor(ordinary) / 2
    excess = np.abs(found.astype(np.float64) - expected) - allowed
    if not excess.size or not excess.max() > 0:
        return None
    return tuple(int(i) for i in np.unravel_index(int(excess.argmax()), excess.shape))


def _floor(ordinary: Array) -> float:
    if ordinary.dtype == np.float64:
        return 0.0
    values = np.abs(ordinary.astype(np.float64))
    return _NEGLIGIBLE * min(1.0, float(values.max(initial=0.0, where=np.isfinite(values))))


def _said(probe: Probe, inputs: Values, text: str, index: tuple[int, ...], shape: tuple[int, ...]) -> str:
    """The deviation with the elements of the inputs that it was made of, where these are known."""
    found, _, expected = text.partition(" instead of ")
    elements = []
    for given in probe.inputs:
        array = inputs[given.name]
        try:
            elements.append(str(np.broadcast_to(array, shape)[index]))
        except (ValueError, IndexError):
            return text
    made_of = f" for {', '.join(elements)}" if elements and (index or not shape) else ""
    return f"{found}{made_of} instead of {expected}"


def _same_shapes(one: Values, other: Values) -> bool:
    return all(array.shape == other[name].shape and array.dtype == other[name].dtype for name, array in one.items())


def _own(number: int, name: str) -> str:
    return f"{number}/{name}"


def _references(probes: Sequence[Probe], values: Sequence[Values]) -> list[Values | None]:
    """The reference's outputs of each probe; None where it refuses the values or the operator."""
    outputs: list[Values] = [{one.name: np.zeros(()) for one in probe.outputs} for probe in probes]
    everything = _proto(probes, dict(enumerate(outputs)), range(len(probes)))
    feed = {_own(i, name): array for i, given in enumerate(values) for name, array in given.items()}
    with contextlib.suppress(ModelError):
        made = evaluate(everything, feed)
        return [{name: made[_own(i, name)] for name in outputs[i]} for i in range(len(probes))]
    alone: list[Values | None] = []
    for i in range(len(probes)):
        own = {_own(i, name): array for name, array in values[i].items()}
        try:
            made = evaluate(_proto(probes, {i: outputs[i]}, (i,)), own)
            alone.append({name: made[_own(i, name)] for name in outputs[i]})
        except ModelError:
            alone.append(None)
    return alone


def _proto(probes: Sequence[Probe], outputs: Mapping[int, Values], numbers: Sequence[int]) -> onnx.ModelProto:
    """The probes of these numbers in one model; probe number ``i`` calls its tensor ``x`` ``i/x``."""
    opsets: dict[str, int] = {}
    for i in numbers:
        opsets.update(probes[i].opsets)
    proto = onnx.ModelProto(
        ir_version=max(probes[i].ir_version for i in numbers),
        opset_import=[onnx.OperatorSetIdProto(domain=domain, version=version) for domain, version in opsets.items()],
    )
    proto.graph.name = "probes"
    for i in numbers:
        probe = probes[i]
        own = {name for node in probe.nodes for name in (*node.input, *node.output)} | set(probe.weights)
        own |= {one.name for one in probe.inputs}
        for node in probe.nodes:
            copy = proto.graph.node.add()
            copy.CopyFrom(node)
            copy.name = _own(i, node.name)
            rename_tensors(copy, lambda name, i=i, own=own: _own(i, name) if name in own else name)  # type: ignore[misc]
        for name, tensor in probe.weights.items():
            weight = proto.graph.initializer.add()
            weight.CopyFrom(tensor)
            weight.name = _own(i, name)
        for given in probe.inputs:
            proto.graph.input.append(_value(_own(i, given.name), given.dtype, given.shape))
        for made in probe.outputs:
            array = outputs[i][made.name]
            known = array.shape if array.dtype == np.dtype(made.dtype) else None
            proto.graph.output.append(_value(_own(i, made.name), made.dtype, known))
    return proto


def _value(name: str, dtype: str, shape: tuple[int, ...] | None) -> onnx.ValueInfoProto:
    return onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape)


def _side_by_side(probes: Sequence[Probe], outputs: Mapping[int, Values]) -> Model:
    """The probes of these numbers as a model, each an operator called by its number."""
    proto = _proto(probes, outputs, tuple(outputs))
    tensors, ops = {}, []
    for i, made in outputs.items():
        given = {_own(i, one.name): Tensor(_own(i, one.name), one.shape, one.dtype) for one in probes[i].inputs}
        results = {_own(i, name): Tensor(_own(i, name), array.shape, str(array.dtype)) for name, array in made.items()}
        tensors.update(given | results)
        ops.append(Op(name=str(i), kind=probes[i].kind, inputs=tuple(given), outputs=tuple(results)))
    keys = "".join(probes[i].key for i in outputs)
    return Model(
        graph=Graph(
            name="probes",
            ops=tuple(ops),
            tensors=tensors,
            inputs=tuple(_own(i, one.name) for i in outputs for one in probes[i].inputs),
            outputs=tuple(name for op in ops for name in op.outputs),
        ),
        proto=proto,
        hash=hashlib.sha256(keys.encode()).hexdigest(),
        regions={str(i): tuple(_own(i, node.name) for node in probes[i].nodes) for i in outputs},
    )
