"""The records of a verification, and its verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from hetsim.core.deviation import Deviation
from hetsim.core.interface.notebook import html_table
from hetsim.core.platform import Nature
from hetsim.core.sources import Precision

_NUM_SHOWN = 6

Verdict = Literal["agrees", "explained", "diverges", "refused", "failed", "random"]
"""What is said of an operator or segment on a device:

- ``"agrees"``: its isolated deviation is within the tolerance of the precision;
- ``"explained"``: it is beyond that, but rounding at that precision moves the reference's own values as far;
- ``"diverges"``: it is beyond both;
- ``"refused"``: the engine does not run it;
- ``"failed"``: the device failed when it ran it;
- ``"random"``: it draws random numbers, so there is nothing to compare.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The worst deviation among several tensors and inputs.

    Attributes:
        tensor: The tensor.
        sample: Number of the inputs that it was computed from, from 0.
        deviation: How far the device's tensor is from the reference's.
    """

    tensor: str
    sample: int
    deviation: Deviation

    def __str__(self) -> str:
        return f"tensor {self.tensor!r}: {self.deviation}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """An operator or a segment on one device, beside the reference engine.

    Attributes:
        device: Name of the device.
        ops: The operators, in topological order; one unless it is a segment.
        label: Short name: the operator, or one of the segment's operators and the number of others.
        kind: Kind of the operator; empty for a segment.
        position: Place of the first operator in the model's topological order, from 0.
        verdict: What is said of it.
        reason: Why it was refused or failed; empty otherwise.
        isolated: What it makes of the reference's values for its inputs; None if it was not run.
        accumulated: What it makes of the values that the device itself, or the plan, has computed so far. Operators
            that a device refuses are computed by the reference engine there.
    """

    device: str
    ops: tuple[str, ...]
    label: str
    kind: str
    position: int
    verdict: Verdict
    reason: str = ""
    isolated: Difference | None = None
    accumulated: Difference | None = None

    @property
    def diverges(self) -> bool:
        """Whether its isolated deviation is more than rounding explains."""
        return self.verdict == "diverges"

    def __str__(self) -> str:
        kind = f" ({self.kind})" if self.kind else ""
        if self.isolated is None:
            return f"{self.label!r}{kind}: {self.verdict}{f', {self.reason}' if self.reason else ''}"
        error = f"{self.isolated.deviation.relative:.1e} of the largest value"
        return f"{self.label!r}{kind}: {self.isolated}, {error}"


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputFinding:
    """An output of the whole model, computed by one device or by a plan.

    Attributes:
        tensor: The output.
        difference: Its worst deviation over all inputs.
        diverges: Whether that is more than rounding explains; None where nothing is said of it, because it accumulates
            what operators are judged for one by one.
        top1: For scores of classes, the share of rows whose largest score is of the same class; None for other outputs.
    """

    tensor: str
    difference: Difference
    diverges: bool | None
    top1: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceFindings:
    """All operators of a model on one device.

    Attributes:
        device: Name of the device.
        nature: Its nature.
        engine: Its engine with version and settings.
        precision: Its precision.
        tolerance: The relative deviation of an operator that its precision allows in any case.
        ops: The operators, in topological order.
        outputs: The model's outputs, computed by the device alone as far as it can.
    """

    device: str
    nature: Nature
    engine: str
    precision: Precision
    tolerance: float
    ops: tuple[Finding, ...]
    outputs: tuple[OutputFinding, ...]

    @property
    def label(self) -> str:
        """The device for people: with its nature unless it is real."""
        return self.device if self.nature == "real" else f"{self.device} ({self.nature})"

    @property
    def first_diverging(self) -> Finding | None:
        """The first operator in topological order that diverges; None if none does."""
        return next((finding for finding in self.ops if finding.diverges), None)

    @property
    def worst(self) -> Finding | None:
        """The operator with the largest isolated deviation; None if none was compared."""
        compared = [finding for finding in self.ops if finding.isolated is not None]
        return max(compared, key=_relative, default=None)

    @property
    def shown(self) -> tuple[Finding, ...]:
        """The operators that a short table shows, in topological order: the first that diverges, and the worst."""
        return _shown(self.ops, self.first_diverging)

    def count(self, verdict: Verdict) -> int:
        """The number of operators of which that is said."""
        return sum(finding.verdict == verdict for finding in self.ops)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanFindings:
    """The segments of a plan.

    Attributes:
        plan: The plan's scheduler or name.
        segments: The segments in model order.
        outputs: The model's outputs as the plan computes them.
    """

    plan: str
    segments: tuple[Finding, ...]
    outputs: tuple[OutputFinding, ...]

    @property
    def first_diverging(self) -> Finding | None:
        """The first segment in model order that diverges; None if none does."""
        return next((finding for finding in self.segments if finding.diverges), None)

    @property
    def shown(self) -> tuple[Finding, ...]:
        """The segments that a short table shows, in model order: the first that diverges, and the worst."""
        return _shown(self.segments, self.first_diverging)

    @property
    def diverges(self) -> bool:
        """Whether a segment diverges, failed or was refused, or an output of the model diverges."""
        segments = any(finding.verdict in ("diverges", "failed", "refused") for finding in self.segments)
        return segments or any(output.diverges for output in self.outputs)


@dataclass(frozen=True, kw_only=True)
class Verification:
    """Devices, and a plan if there is one, beside the reference engine.

    Attributes:
        model: Name of the model.
        platform: Name of the platform.
        num_samples: Number of inputs that everything was computed from.
        inputs: Where they come from.
        devices: What was found on each device that was verified.
        plan: What was found of the plan; None if none was given.
        not_verified: By label of a device that cannot be verified, why.
    """

    model: str
    platform: str
    num_samples: int
    inputs: str
    devices: tuple[DeviceFindings, ...]
    plan: PlanFindings | None = None
    not_verified: Mapping[str, str] = field(default_factory=dict)

    @property
    def diverges(self) -> bool:
        """Whether anything is further from the reference than rounding explains, or failed."""
        ops = any(finding.verdict in ("diverges", "failed") for device in self.devices for finding in device.ops)
        return ops or (self.plan is not None and self.plan.diverges)

    def __repr__(self) -> str:
        said = "; ".join(f"{device.label}: {_summary(device)}" for device in self.devices)
        return f"<Verification of {self.model!r} on {self.platform}: {said or 'no device'}>"

    def _repr_html_(self) -> str:
        rows = [
            (device.label, finding.label, finding.kind, finding.verdict, *_errors(finding))
            for device in self.devices
            for finding in device.shown
        ]
        columns = ("device", "operator", "kind", "verdict", "isolated", "accumulated")
        return html_table(columns, rows, caption=repr(self).strip("<>"))


def _summary(device: DeviceFindings) -> str:
    first = device.first_diverging
    compared = len(device.ops) - device.count("refused") - device.count("random") - device.count("failed")
    if first is None:
        return f"{compared} of {len(device.ops)} operators compared, none diverges"
    return f"{device.count('diverges')} of {len(device.ops)} operators diverge, first {first.label!r}"


def _errors(finding: Finding) -> tuple[str, str]:
    isolated, accumulated = (
        "" if one is None else f"{one.deviation.relative:.1e}" for one in (finding.isolated, finding.accumulated)
    )
    return isolated, accumulated


def _shown(findings: tuple[Finding, ...], first: Finding | None) -> tuple[Finding, ...]:
    """The first that diverges and the worst: those that diverge or failed, then the largest isolated deviations."""
    compared = (finding for finding in findings if finding.isolated is not None or finding.verdict == "failed")
    worst = sorted(compared, key=lambda one: (one.verdict not in ("diverges", "failed"), -_relative(one), one.position))
    chosen = {finding.ops for finding in worst[:_NUM_SHOWN]} | ({first.ops} if first is not None else set())
    return tuple(finding for finding in findings if finding.ops in chosen)


def _relative(finding: Finding) -> float:
    return 0.0 if finding.isolated is None else finding.isolated.deviation.relative
