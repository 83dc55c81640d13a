"""Plans as JSON files, which people can read and edit."""

from __future__ import annotations

from pathlib import Path

import msgspec

from hetsim.core.errors import PlanError
from hetsim.core.plan import Axis, Plan, Segment, Split
from hetsim.io.files import read_bounded, write_atomically

FORMAT = 1


class _SegmentFile(msgspec.Struct, forbid_unknown_fields=True):
    ops: tuple[str, ...]


class _SplitFile(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    axis: Axis
    at: tuple[int, ...]
    ops: tuple[str, ...]


class _AnyFormat(msgspec.Struct):
    format: object = FORMAT


class _PlanFile(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    format: int = FORMAT
    model: str
    model_hash: str = ""
    scheduler: str = ""
    rewrites: list[_SplitFile] = []  # msgspec copies it
    devices: dict[str, list[_SegmentFile]] = msgspec.field(default_factory=dict)


def save_plan(plan: Plan, path: Path) -> None:
    """Write a plan as JSON; the file is written completely or not at all."""
    content = _PlanFile(
        model=plan.model,
        model_hash=plan.model_hash,
        scheduler=plan.scheduler,
        rewrites=[_SplitFile(axis=split.axis, at=split.at, ops=split.ops) for split in plan.rewrites],
        devices={device: [_SegmentFile(s.ops) for s in queue] for device, queue in plan.queues.items()},
    )
    write_atomically(path, msgspec.json.format(msgspec.json.encode(content), indent=1) + b"\n")


def load_plan(path: Path) -> Plan:
    """Read a plan from JSON. Only its form is checked; :func:`~hetsim.core.dataflow.check_plan` checks it for a model.

    Raises:
        PlanError: If the file is missing, malformed or of another format.
    """
    try:
        text = read_bounded(path)
        found = msgspec.json.decode(text, type=_AnyFormat).format
        if found != FORMAT:
            raise PlanError(
                f"plan {path} has format {found}, this version reads format {FORMAT}; "
                f"make it anew with: hetsim plan MODEL --out {path}"
            )
        content = msgspec.json.decode(text, type=_PlanFile)
    except OSError as error:
        raise PlanError(
            f"cannot read plan {path}: {error.strerror}; make one with: hetsim plan MODEL --out {path}"
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PlanError(f"plan {path} is malformed: {error}") from None
    for device, queue in content.devices.items():
        if any(not segment.ops for segment in queue):
            raise PlanError(f"plan {path} has a segment without operators on {device!r}; remove it")
    try:
        rewrites = tuple(Split(split.ops, split.axis, split.at) for split in content.rewrites)
    except PlanError as error:
        raise PlanError(f"plan {path}: {error}") from None
    return Plan(
        model=content.model,
        model_hash=content.model_hash,
        scheduler=content.scheduler,
        rewrites=rewrites,
        queues={device: tuple(Segment(device, s.ops) for s in queue) for device, queue in content.devices.items()},
    )
