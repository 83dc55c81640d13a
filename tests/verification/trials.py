"""Verifications whose answer is known: devices with one wrong operator, and devices without."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from hetsim.analysis.verification.records import DeviceFindings
from hetsim.core.deviation import deviation
from hetsim.core.platform import Device, Platform
from hetsim.core.sources import Precision
from hetsim.models.model import Model, random_inputs
from hetsim.models.reference import evaluate
from hetsim.runtime.devices import Devices
from hetsim.runtime.verifying.devices import RestartableDevices
from hetsim.runtime.verifying.verify import verify_devices

Values = Mapping[str, np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A fault in a network.

    Attributes:
        seed: The network's.
        op: The operator that is wrong.
        kind: Its kind.
        fault: How, as the fake engine's option ``wrong_by`` takes it.
    """

    seed: int
    op: str
    kind: str
    fault: str


def stand_in(precision: Precision = "f32", **options: str) -> Platform:
    """OpenVINO's CPU plugin as a stand-in for an NPU, by way of the fake engine if there are options."""
    device = Device(name="npu", kind="npu", nature="stand-in", backend="openvino", target="CPU", precision=precision)
    if options:
        device = replace(device, backend="fake", options={"engine": "openvino", **options})
    return Platform(name="stand-in", devices=(device,))


def draw_trial(seed: int, model: Model) -> Trial:
    """A fault in one of a network's operators that changes its values by more than rounding explains."""
    rng = np.random.default_rng(seed)
    graph = model.graph
    made = [(op.name, op.outputs[0]) for op in graph.ops if op.outputs[0] in {*graph.outputs, *_read(model)}]
    inputs = random_inputs(model)
    values = {**inputs, **evaluate(model.proto, inputs, [name for _, name in made])}
    while True:
        op, name = made[int(rng.integers(len(made)))]
        fault = _draw_fault(rng, graph.by_name[op].kind, values[name])
        if fault == "ties" and not _has_ties(values[graph.by_name[op].inputs[0]]):
            continue
        if fault is not None:
            return Trial(seed=seed, op=op, kind=graph.by_name[op].kind, fault=fault)


def _read(model: Model) -> set[str]:
    return {name for op in model.graph.ops for name in op.inputs}


def _draw_fault(rng: np.random.Generator, kind: str, right: np.ndarray) -> str | None:
    """A fault that makes a difference to these values; None if the one drawn does not."""
    sign = float(rng.choice([-1.0, 1.0]))
    place = int(rng.integers(right.size)) if right.size else 0
    if right.dtype.kind == "i":
        if kind == "ArgMax" and rng.random() < 0.5:
            return "ties"
        fault = rng.choice(["one", "rows"])
        if fault == "one":
            return f"offset:{sign:g}:{place}"
        return "rows" if _rows_differ(right) else None
    if right.dtype.kind != "f":
        return None
    scale = float(np.abs(right).max(initial=0.0))
    size = 10.0 ** rng.uniform(-3, -0.5)
    match rng.choice(["scale", "offset", "sign", "element", "rows", "saturate", "nan"]):
        case "scale" if scale > 0:
            return f"scale:{sign * size:.3g}"
        case "offset" if scale > 0:
            return f"offset:{sign * size * scale:.3g}"
        case "sign" if abs(right.reshape(-1)[place]) > 1e-3 * scale > 0:
            return f"sign:0:{place}"
        case "element" if scale > 0:
            return f"offset:{sign * size * scale:.3g}:{place}"
        case "rows" if _rows_differ(right):
            return "rows"
        case "saturate" if right.max(initial=-np.inf) > 0:
            return f"saturate:{0.9 * right.max():.4g}"
        case "nan":
            return f"nan:0:{place}"
    return None


def _has_ties(rows: np.ndarray) -> bool:
    """Whether a row has its largest value twice."""
    return bool(((rows == rows.max(axis=1, keepdims=True)).sum(axis=1) > 1).any())


def _rows_differ(right: np.ndarray) -> bool:
    axis = next((axis for axis, size in enumerate(right.shape) if size > 1), None)
    if axis is None:
        return False
    order = np.arange(right.shape[axis])
    order[:2] = [1, 0]
    return deviation(np.take(right, order, axis), right).exceeds(1e-3)


def verify(model: Model, platform: Platform, *, num_samples: int = 2) -> DeviceFindings:
    """What verification says of the platform's only device."""
    inputs = [random_inputs(model, seed=seed) for seed in range(num_samples)]
    with RestartableDevices(lambda platform: Devices(platform, stall_s=120.0, slow_s=10.0), platform) as devices:
        (findings,) = verify_devices(devices, model, inputs)
    return findings
