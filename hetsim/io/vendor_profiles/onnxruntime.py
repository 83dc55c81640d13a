"""ONNX Runtime: the JSON that a session writes with ``enable_profiling``, an event for each kernel of each run.

Kernels are events of category ``Node`` whose names end in ``_kernel_time``; ``model_run`` ends the run that they belong
to. The first run is cold. Kernels that the optimiser made are called after a tensor or after the node whose place they
take (``r1_nchwc``).
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from hetsim.core.errors import ProblemError, ProfileError
from hetsim.io.json_file import convert, decode_json
from hetsim.io.vendor_profiles.records import Call, OpTime, VendorProfile

CATEGORIES = ("Session", "Node", "Kernel", "Api")
"""``Kernel`` and ``Api`` events are those of a GPU within a node, whose time the node's own event has."""
_ENDINGS = ("_kernel_time", "_fence_before", "_fence_after")

_MADE = re.compile(r"(_nchwc|/[A-Za-z]*Fusion/?|_new_reshape)$")
"""What the optimiser adds to the name of a node, or of a tensor, for the kernel that takes its place."""


class _Event(msgspec.Struct):
    cat: str
    name: str
    dur: float
    args: dict[str, Any] = {}


def looks_like(text: str) -> bool:
    """Whether a text begins as files of this format do."""
    return text.lstrip().startswith("[") and '"cat"' in text[:4096]


def parse(text: str, source: str) -> VendorProfile:
    """The profile in a text.

    Raises:
        ProfileError: With the event, if it is cut short, or has unknown events.
    """
    try:
        events = [
            convert(event, _Event, f"event {number}")
            for number, event in enumerate(decode_json(text.encode(), list[Any]), 1)
        ]
    except ProblemError as error:
        raise ProfileError(f"{source}, {error}") from None
    calls: list[Call] = []
    ops: list[OpTime] = []
    for number, event in enumerate(events, 1):
        where = f"{source}, event {number}"
        if event.cat not in CATEGORIES:
            raise ProfileError(f"{where}: expected a category of {', '.join(CATEGORIES)}, found {event.cat!r}")
        if not 0 <= event.dur < 1e15:
            raise ProfileError(f"{where}: expected dur, microseconds of 0 or more, found {event.dur}")
        if event.cat == "Node":
            ops += _kernel(event, where)
        elif event.name == "model_run" and ops:
            total_s = event.dur * 1e-6
            calls.append(Call(ops=tuple(ops), total_s=max(total_s, sum(op.seconds for op in ops))))
            ops = []
    if ops or not calls:
        raise ProfileError(
            f"{source}, event {len(events)}: expected 'model_run' after the kernels of each run, found "
            f"{len(ops)} kernels after the last one; end the session's profiling before you read its file"
        )
    return VendorProfile(format="onnxruntime", engine="ONNX Runtime", files=(source,), calls=tuple(calls))


def _kernel(event: _Event, where: str) -> list[OpTime]:
    ending = next((ending for ending in _ENDINGS if event.name.endswith(ending)), None)
    if ending is None:
        raise ProfileError(f"{where}: expected a node's name to end in {', '.join(_ENDINGS)}, found {event.name!r}")
    if ending != "_kernel_time":
        return []
    name, kind = event.name.removesuffix(ending), event.args.get("op_name", "")
    plain = _MADE.sub("", name)
    if plain.endswith(("_bn", "_mul")):  # a scale that became a convolution, so its type says nothing
        plain, kind = plain.rpartition("_")[0], ""
    if name.startswith(("gemm_input_reshape", "gemm_output_reshape")):
        kind = "Reorder"
    return [OpTime(name=name, candidates=(name, plain), kind=str(kind), seconds=event.dur * 1e-6)]
