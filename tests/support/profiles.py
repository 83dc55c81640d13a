"""Profiles made by hand: a header, and records of a chain of operators ``op0``, ``op1``, ..."""

from __future__ import annotations

from hetsim.costs.profile import Header, Samples

HEADER = Header(
    model="chain",
    model_hash="abc",
    machine="here",
    engines={"cpu": "ORT 1.32 f32", "npu": "OpenVINO 2026.4 f32"},
    date="2026-11-22T10:00:00Z",
)


def samples(ops: str, *samples_s: float, device: str = "cpu", context: str = "configuration:single") -> Samples:
    """A record of durations of the operators with those numbers: ``"01"`` is ``op0`` and ``op1``."""
    return Samples(device=device, ops=tuple(f"op{i}" for i in ops), context=context, samples_s=samples_s)


def names(ops: str) -> tuple[str, ...]:
    """The operators with those numbers."""
    return tuple(f"op{i}" for i in ops)
