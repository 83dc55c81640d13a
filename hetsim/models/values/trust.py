"""What is assumed of a model's inputs, and which devices are believed although a probe contradicts them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from hetsim.core.errors import ModelError
from hetsim.models.ranges.interval import Interval, array_interval, is_integer


@dataclass(frozen=True, kw_only=True)
class Trust:
    """What is assumed of a model's inputs, and what is accepted of devices.

    A plan that rests on an assumption refuses inputs that break it.

    Attributes:
        finite: Whether all floats among the inputs are finite, and nothing overflows.
        ranges: By integer input, the values that its elements have, declared or observed; others have any value that
            the model can use.
        accepted: Pairs of a device and a kind of operator: the device computes it, whatever a probe says.
    """

    finite: bool = True
    ranges: Mapping[str, Interval] = field(default_factory=dict)
    accepted: frozenset[tuple[str, str]] = frozenset()

    def observing(self, inputs: Mapping[str, np.ndarray]) -> Trust:
        """The same, in which integers without a declared range have the range that they have in these inputs."""
        seen = {
            name: array_interval(array)
            for name, array in inputs.items()
            if name not in self.ranges and is_integer(array.dtype.name) and array.size
        }
        return replace(self, ranges={**self.ranges, **{name: one for name, one in seen.items() if one is not None}})

    def accepts(self, device: str, kind: str) -> bool:
        """Whether a device is believed to compute operators of a kind."""
        return (device, kind) in self.accepted


TRUSTING = Trust()
"""Floats are finite, integers have any value, and devices are believed what a probe confirms."""


def parse_trust(assume: str, accept: Iterable[str], ranges: Iterable[str]) -> Trust:
    """What ``--assume``, ``--accept`` and ``--range`` say.

    >>> trust = parse_trust("finite", ["npu:Mod"], ["ids=0..30521"])
    >>> trust.accepts("npu", "Mod"), str(trust.ranges["ids"])
    (True, '0..30521')

    Args:
        assume: ``"finite"`` or ``"nothing"``.
        accept: Each ``DEVICE:KIND``.
        ranges: Each ``NAME=LOW..HIGH``.

    Raises:
        ModelError: If one of them says something else.
    """
    if assume not in ("finite", "nothing"):
        raise ModelError(f"--assume {assume!r} must be 'finite' or 'nothing'")
    pairs = []
    for text in accept:
        device, colon, kind = text.partition(":")
        if not (device and colon and kind):
            raise ModelError(f"--accept {text!r} must look like DEVICE:KIND, such as npu:Mod")
        pairs.append((device, kind))
    return Trust(finite=assume == "finite", ranges=dict(map(_range, ranges)), accepted=frozenset(pairs))


def _range(text: str) -> tuple[str, Interval]:
    name, equals, both = text.rpartition("=")
    low, dots, high = both.partition("..")
    try:
        if not (name and equals and dots):
            raise ValueError
        return name, Interval(int(low), int(high))
    except ValueError:
        raise ModelError(f"--range {text!r} must look like NAME=LOW..HIGH with whole numbers") from None
