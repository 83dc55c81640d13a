"""One setting of a hypothetical machine: ``PATH=VALUE``.

A value is a number, or a factor such as ``2x`` of the figure that the platform has::

    npu.speed=4                   arithmetic four times as fast; 0.5 is half as fast
    npu.speed.Conv=4              the same for one operator type
    npu.speed.op:fire2/concat=4   the same for one operator
    npu.launch_s=5e-6             fixed cost of running a segment; also 2x
    npu.unsupported=LRN,Softmax   operator types, or op:NAME, that the device does not run
    npu.count=2                   npu0 and npu1 instead of npu, with its links and costs
    link.cpu->npu.setup_s=1e-3    fixed cost of a hand-over from one device to another; also 2x
    link.cpu->npu.bandwidth=1e9   bytes per second; also 2x
    link.cpu->npu.speed=2         each of its hand-overs takes half as long
    handover=2x                   each hand-over between any two devices takes twice as long
    memory.bandwidth=2x           bandwidth that the memory sustains; also bytes per second
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from hetsim.core.errors import PlatformError

Kind = Literal["device", "link", "handover", "memory"]

MAX_COUNT = 64

OP = "op:"
"""A selector of one operator is this prefix and the operator's name."""
_DEVICE_FIELDS = "speed, speed.TYPE, speed.op:NAME, launch_s, unsupported, count"
_LINK_FIELDS = {
    "setup_s": "setup_s",
    "bandwidth": "bandwidth",
    "bandwidth_bytes_per_s": "bandwidth",
    "speed": "speed",
}
_EXAMPLE = "npu.speed=4, npu.count=2, handover=2x or memory.bandwidth=2x"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One setting.

    Attributes:
        description: The setting as it was written, such as ``npu.speed=4``.
        kind: What it changes.
        target: The device, or for a link ``FROM->TO``; else empty.
        field: Which figure of the target; empty where there is only one.
        only: The operator type, or ``op:NAME``, that it is restricted to; empty for all operators.
        amount: The number; NaN for ``unsupported``.
        relative: Whether ``amount`` is a factor of the figure that the platform has.
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
        """What is set, without the value: two changes of a scenario never have the same path."""
        return ".".join(filter(None, (self.kind, self.target, self.field, self.only)))

    @property
    def op(self) -> str:
        """The one operator that the change is restricted to; empty if there is none."""
        return self.only.removeprefix(OP) if self.only.startswith(OP) else ""

    @property
    def devices(self) -> tuple[str, ...]:
        """The devices that the change names: one, a link's sender and receiver, or none."""
        return {"device": (self.target,), "link": tuple(self.target.split("->"))}.get(self.kind, ())

    def of(self, figure: float) -> float:
        """The figure after the change."""
        return figure * self.amount if self.relative else self.amount


def find_change(changes: Iterable[Change], kind: Kind, target: str = "", field: str = "") -> Change | None:
    """The first change of one figure, or None; for the speed of a device, see :attr:`Change.only`."""
    wanted = (kind, target, field)
    return next((change for change in changes if (change.kind, change.target, change.field) == wanted), None)


def names_of_copies(changes: Iterable[Change], device: str) -> tuple[str, ...]:
    """What a device is called after the changes: by its own name, or by those of its copies."""
    count = find_change(changes, "device", device, "count")
    if count is None or count.amount == 1:
        return (device,)
    return tuple(f"{device}{i}" for i in range(int(count.amount)))


def faster_device(device: str, speed: float, *, op: str = "") -> Change:
    """The change of a device's speed, or of one operator's speed on it.

    >>> faster_device("npu", 1.1, op="fire2/concat").description
    'npu.speed.op:fire2/concat=1.1'
    """
    only = f"{OP}{op}" if op else ""
    path = f"{device}.speed.{only}" if op else f"{device}.speed"
    return Change(
        description=f"{path}={_text(speed)}", kind="device", target=device, field="speed", only=only, amount=speed
    )


def faster_link(source: str, target: str, speed: float) -> Change:
    """The change of the speed of hand-overs from ``source`` to ``target``.

    >>> faster_link("cpu", "npu", 2.0) == parse_change("link.cpu->npu.speed=2")
    True
    """
    ends = f"{source}->{target}"
    return Change(
        description=f"link.{ends}.speed={_text(speed)}", kind="link", target=ends, field="speed", amount=speed
    )


def faster_memory(factor: float) -> Change:
    """The change of the memory's bandwidth by a factor.

    >>> faster_memory(1.1) == parse_change("memory.bandwidth=1.1x")
    True
    """
    return Change(
        description=f"memory.bandwidth={_text(factor)}x", kind="memory", field="bandwidth", amount=factor, relative=True
    )


def _text(number: float) -> str:
    """The shortest text that reads back as the number."""
    short = f"{number:g}"
    return short if float(short) == number else repr(number)


def parse_change(description: str) -> Change:
    """The change that a setting stands for.

    >>> parse_change("npu.speed.Conv=4").only
    'Conv'
    >>> parse_change("link.cpu->npu.setup_s=2x").of(1e-6)
    2e-06

    Raises:
        PlatformError: If the text is not a setting, or its value is out of range.
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
        return _link_change(description, path, value)
    return _device_change(description, path, value)


def _link_change(description: str, path: str, value: str) -> Change:
    ends, _, name = path.removeprefix("link.").rpartition(".")
    source, arrow, target = (part.strip() for part in ends.partition("->"))
    if not (arrow and source and target):
        raise PlatformError(
            f"--set {description!r} must name a link as link.FROM->TO.FIELD, such as link.cpu->npu.setup_s"
        )
    if name not in _LINK_FIELDS:
        raise PlatformError(f"--set {description!r}: a link has no field {name!r}; it has setup_s, bandwidth, speed")
    return _number(description, value, kind="link", target=f"{source}->{target}", field=_LINK_FIELDS[name])


def _device_change(description: str, path: str, value: str) -> Change:
    target, dot, rest = path.partition(".")
    name, _, only = rest.partition(".")
    if not dot:
        raise PlatformError(
            f"--set {description!r} must say which figure of {target!r} it sets, such as {target}.speed=4; "
            f"examples: {_EXAMPLE}"
        )
    if name not in ("speed", "launch_s", "unsupported", "count") or (only and name != "speed"):
        raise PlatformError(f"--set {description!r}: a device has no field {rest!r}; it has {_DEVICE_FIELDS}")
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
        raise PlatformError(
            f"--set {description!r}: {value!r} is not a number; write one such as 4, 2e-6 or 2x"
        ) from None
    may_be_zero = field in ("setup_s", "launch_s") or kind == "handover"
    if not (0 <= amount < math.inf if may_be_zero else 0 < amount < math.inf):  # NaN fails too
        least = "0 or more" if may_be_zero else "more than 0"
        raise PlatformError(f"--set {description!r}: the value must be {least} and finite, got {amount:g}")
    if kind == "handover" and not relative:
        raise PlatformError(
            f"--set {description!r} must be a factor, such as handover=2x; a figure can be set for one link: "
            f"link.cpu->npu.setup_s"
        )
    if field == "count" and (relative or amount != int(amount) or amount > MAX_COUNT):
        raise PlatformError(f"--set {description!r}: a device can have 1, 2, ... {MAX_COUNT} copies, got {value}")
    return Change(
        description=description, kind=kind, target=target, field=field, only=only, amount=amount, relative=relative
    )
