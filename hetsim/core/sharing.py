"""What tensors cost that segments of several devices access."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SharingCosts:
    """What segments take longer for shared tensors, those that segments of several devices access.

    Attributes:
        read_s: From a device and a tensor to the seconds that a segment which reads the tensor takes longer; 0 or more.
        written_s: The same for the segment that makes the tensor.
    """

    read_s: Callable[[str, str], float]
    written_s: Callable[[str, str], float]


@dataclass(frozen=True, slots=True)
class Access:
    """By how much a segment takes longer because of one shared tensor.

    Attributes:
        tensor: Name of the tensor.
        is_made: Whether the segment makes the tensor; otherwise it reads it.
        seconds: More than 0.
    """

    tensor: str
    is_made: bool
    seconds: float
