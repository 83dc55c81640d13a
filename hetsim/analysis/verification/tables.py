"""A verification as plain values, for JSON."""

from __future__ import annotations

import math

import numpy as np

from hetsim.analysis.verification.records import (
    DeviceFindings,
    Difference,
    Finding,
    OutputFinding,
    PlanFindings,
    Verification,
)


def as_dict(found: Verification) -> dict[str, object]:
    """Everything, for JSON. Numbers that JSON does not have are the texts ``"nan"``, ``"inf"`` and ``"-inf"``."""
    return {
        "model": found.model,
        "platform": found.platform,
        "inputs": found.inputs,
        "num_samples": found.num_samples,
        "diverges": found.diverges,
        "not_verified": dict(found.not_verified),
        "devices": [_device(device) for device in found.devices],
        **({"plan": _plan(found.plan)} if found.plan is not None else {}),
    }


def _device(device: DeviceFindings) -> dict[str, object]:
    first = device.first_diverging
    return {
        "device": device.device,
        "nature": device.nature,
        "engine": device.engine,
        "precision": device.precision,
        "tolerance": device.tolerance,
        "first_diverging": None if first is None else first.label,
        "operators": [_finding(finding) for finding in device.ops],
        "outputs": [_output(output) for output in device.outputs],
    }


def _plan(plan: PlanFindings) -> dict[str, object]:
    first = plan.first_diverging
    return {
        "plan": plan.plan,
        "diverges": plan.diverges,
        "first_diverging": None if first is None else first.label,
        "segments": [{"device": finding.device, **_finding(finding)} for finding in plan.segments],
        "outputs": [_output(output) for output in plan.outputs],
    }


def _finding(finding: Finding) -> dict[str, object]:
    result: dict[str, object] = {"name": finding.label, "verdict": finding.verdict, "position": finding.position}
    if finding.kind:
        result["kind"] = finding.kind
    else:
        result["ops"] = list(finding.ops)
    if finding.reason:
        result["reason"] = finding.reason
    for name, difference in (("isolated", finding.isolated), ("accumulated", finding.accumulated)):
        if difference is not None:
            result[name] = _difference(difference)
    return result


def _output(output: OutputFinding) -> dict[str, object]:
    result: dict[str, object] = _difference(output.difference)
    if output.diverges is not None:
        result["diverges"] = output.diverges
    if output.top1 is not None:
        result["top1"] = output.top1
    return result


def _difference(difference: Difference) -> dict[str, object]:
    deviation = difference.deviation
    return {
        "tensor": difference.tensor,
        "sample": difference.sample,
        "max_abs": _number(deviation.max_abs),
        "relative": _number(deviation.relative),
        "cosine": _number(deviation.cosine),
        "index": list(deviation.index),
        "found": _value(deviation.found),
        "expected": _value(deviation.expected),
    }


def _number(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


def _value(value: object) -> object:
    if isinstance(value, np.bool_ | bool):
        return bool(value)
    if isinstance(value, np.integer | int):
        return int(value)
    if value is None or isinstance(value, str | bytes | complex | np.complexfloating):
        return None if value is None else str(value)
    try:
        return _number(float(value))  # type: ignore[arg-type]  # the float types of NumPy and ml_dtypes
    except (TypeError, ValueError):
        return str(value)
