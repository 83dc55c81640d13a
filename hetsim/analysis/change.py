"""One setting of what somebody would change about a machine: ``PATH=VALUE``.

A value is a number, or a factor such as ``2x`` of what the platform has::

    npu.speed=4                   its arithmetic is four times as fast; 0.5 is half as fast
    npu.speed.Conv=4              that of one operator type alone
    npu.speed.op:fire2/concat=4   that of one operator alone
    npu.launch_s=5e-6             what running a segment costs, however small; also 2x
    npu.unsupported=LRN,Softmax   operator types, or op:NAME, that it no longer runs
    npu.count=2                   npu0 and npu1 instead of npu, with its links and costs
    link.cpu->npu.setup_s=1e-3    one way from device to device; also 2x
    link.cpu->npu.bandwidth=1e9   bytes per second; also 2x
    handover=2x                   what every hand-over takes
    memory.bandwidth=2x           what the memory sustains; also bytes per second
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from hetsim.core.errors import PlatformError

Kind = Literal["device", "link", "handover", "memory"]

MAX_COUNT = 64

OP = "op:"
"""What selects one operator by its name starts with it."""
_DEVICE_FIELDS = "speed, speed.TYPE, speed.op:NAME, launch_s, unsupported, count"
_LINK_FIELDS = {"setup_s": "setup_s", "bandwidth": "bandwidth", "bandwidth_bytes_per_s": "bandwidth"}
_EXAMPLE = "npu.speed=4, npu.count=2, handover=2x or memory.bandwidth=2x"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One setting.

    Attributes:
        words: The setting as it was written.
        kind: What it is about.
        target: The device, or for a link ``FROM->TO``; else empty.
        field: Which of its figures; empty where there is only one.
        only: The operator type, or ``op:NAME``, that it is restricted to; empty for all.
        amount: The number; for ``unsupported`` none.
        relative: Whether ``amount`` is a factor of what there is.
        names: For ``unsupported``, operator types and ``op:NAME``.
    """

    description: str
    kind: Kind
    target: str = ""
    field: str = ""
    only: str = ""
    amount: float = math.nan
    relative: bool = False
    names: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        """What is set, without the value: no two changes may set the same."""
        return ".".join(filter(None, (self.kind, self.target, self.field, self.only)))

    def of(self, figure: float) -> float:
        """The figure as changed."""
        return figure * self.amount if self.relative else self.amount


def parse_change(description: str) -> Change:
    """The change that a setting stands for.

    >>> parse_change("npu.speed.Conv=4").only
    'Conv'
    >>> parse_change("link.cpu->npu.setup_s=2x").of(1e-6)
    2e-06

    Raises:
        PlatformError: If it is none, or its value is out of range.
    """
    path, equals, value = (part.strip() for part in description.rpartition("="))
    if not equals or not path or not value:
        raise PlatformError(f"--set {description!r} must look like {_EXAMPLE}")
    if path == "handover":
        return _number(description, value, kind="handover")
    if path.startswith("memory."):
        if path not in ("memory.bandwidth", "memory.shared_bytes_per_s"):
            raise PlatformError(f"--set {description!r}: the memory has no field {path[7:]!r}; it has bandwidth")
        return _number(description, value, kind="memory", field="bandwidth")
    if path.startswith("link."):
        ends, _, name = path.removeprefix("link.").rpartition(".")
        source, arrow, target = (part.strip() for part in ends.partition("->"))
        if not (arrow and source and target):
            raise PlatformError(
                f"--set {description!r} must name a link as link.FROM->TO.FIELD, such as link.cpu->npu.setup_s"
            )
        if name not in _LINK_FIELDS:
            raise PlatformError(f"--set {description!r}: a link has no field {name!r}; it has setup_s, bandwidth")
        return _number(description, value, kind="link", target=f"{source}->{target}", field=_LINK_FIELDS[name])
    target, dot, rest = path.partition(".")
    name, _, only = rest.partition(".")
    if not dot or name not in ("speed", "launch_s", "unsupported", "count") or (only and name != "speed"):
        raise PlatformError(
            f"--set {description!r}: a device has no field {rest!r}; it has {_DEVICE_FIELDS}"
            if dot
            else f"--set {description!r} must say what of {target!r} is set, such as {target}.speed=4; else {_EXAMPLE}"
        )
    if name == "unsupported":
        names = tuple(filter(None, (part.strip() for part in value.split(","))))
        return Change(description=description, kind="device", target=target, field=name, names=names)
    return _number(description, value, kind="device", target=target, field=name, only=only)


def _number(
    description: str,
    value: str,
    *,
    kind: Kind,
    target: str = "",
    field: str = "",
    only: str = "",
) -> Change:
    """A change to a number that is within its range."""
    relative = value.endswith("x")
    try:
        amount = float(value.removesuffix("x"))
    except ValueError:
        raise PlatformError(f"--set {description!r}: {value!r} is no number; write one such as 4, 2e-6 or 2x") from None
    may_be_zero = field in ("setup_s", "launch_s") or kind == "handover"
    if not (0 <= amount < math.inf if may_be_zero else 0 < amount < math.inf):  # NaN fails too
        least = "0 or more" if may_be_zero else "more than 0"
        raise PlatformError(f"--set {description!r}: the value must be {least} and finite, got {amount:g}")
    if kind == "handover" and not relative:
        raise PlatformError(
            f"--set {description!r} must be a factor, such as handover=2x; figures belong to one link: "
            f"link.cpu->npu.setup_s"
        )
    if field == "count" and (relative or amount != int(amount) or amount > MAX_COUNT):
        raise PlatformError(f"--set {description!r}: there are 1, 2, ... {MAX_COUNT} of a device, got {value}")
    return Change(
        description=description, kind=kind, target=target, field=field, only=only, amount=amount, relative=relative
    )
