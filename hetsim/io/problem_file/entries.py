"""The structure of problem files, and what is refused in them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from hetsim.core.errors import ProblemError
from hetsim.core.graph import Graph

OP_KIND = "Task"
"""The kind of every operator of a problem file."""

MAX_TENSOR_BYTES = 1 << 53
"""Size of the largest tensor: floats represent every integer up to here."""


class EdgeEntry(msgspec.Struct, array_like=True, forbid_unknown_fields=True, omit_defaults=True):
    """``["producer", "reader", bytes]``, optionally followed by the name of the tensor."""

    producer: str
    reader: str
    num_bytes: int | float
    tensor: str = ""


class LinkEntry(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """A one-way path between devices; see :class:`~hetsim.core.platform.Link`."""

    setup_s: float = 0.0
    bandwidth_bytes_per_s: float = math.inf
    mode: Literal["zero-copy", "copy"] = "zero-copy"


class GroupEntry(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Costs of several operators as one segment; a device with null cannot run them as one."""

    ops: tuple[str, ...]
    cost_s: dict[str, float | None]


class MemoryEntry(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """Bandwidth of the memory that all devices share."""

    shared_bytes_per_s: float = math.inf


class HostEntry(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """What submitting and collecting a request costs the host."""

    submit_setup_s: float = 0.0
    collect_setup_s: float = 0.0


class ProblemFile(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """The structure of the file; docs/formats.md has every key."""

    name: str = ""
    devices: tuple[str, ...]
    ops: dict[str, Any]  # by operator a table by device; converted one by one, so that errors can name the operator
    edges: tuple[EdgeEntry, ...] = ()
    links: dict[str, Any] = {}
    groups: tuple[GroupEntry, ...] = ()
    traffic_bytes: dict[str, Any] = {}
    sharing_s: dict[str, Any] = {}
    memory: MemoryEntry | None = None
    host: HostEntry | None = None


def check_costs(where: str, table: Mapping[str, float | None], file: ProblemFile) -> None:
    for device, seconds in table.items():
        check_device(where, device, file)
        if seconds is not None and not 0 <= seconds < math.inf:  # NaN fails too
            raise ProblemError(f"{where} costs {seconds} s on {device!r}; costs are finite and not negative")


def check_sum(
    graph: Graph,
    costs_s: Mapping[str, Mapping[str, float]],
    shared_s: Mapping[str, Mapping[str, tuple[float, float]]],
) -> None:
    most_s = sum(max(table.values(), default=0.0) for table in costs_s.values())
    for op, table in shared_s.items():
        num_readers = sum(len(graph.consumers[tensor]) for tensor in graph.by_name[op].outputs)
        most_s += sum(num_readers * read_s + written_s for read_s, written_s in table.values())
    if not most_s < math.inf:
        raise ProblemError("the costs of all operators sum to more than a float can hold; give smaller costs")


def check_bytes(where: str, num_bytes: float) -> None:
    if not 0 <= num_bytes <= MAX_TENSOR_BYTES or num_bytes != int(num_bytes):
        raise ProblemError(f"{where} has {num_bytes} bytes; they are whole, not negative, and at most 2**53")


def check_device(where: str, device: str, file: ProblemFile) -> None:
    if device not in file.devices:
        raise ProblemError(f"{where} names device {device!r}; devices are {', '.join(file.devices)}")


def check_ops(where: str, ops: tuple[str, ...], file: ProblemFile) -> None:
    if not ops:
        raise ProblemError(f"{where} has no operators; remove it")
    for op in ops:
        if op not in file.ops:
            raise ProblemError(f"{where} names operator {op!r}, which ops does not have")
