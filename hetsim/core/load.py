"""The requests that a plan serves: how many, how often, and how many at once."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from hetsim.core.errors import ProblemError

_PER_SECOND = {"s": 1.0, "ms": 1e3, "us": 1e6}


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """A series of requests for inferences.

    Attributes:
        num_requests: How many, at least 1.
        every_s: Request ``k``, from 0, is due ``k * every_s`` seconds after the first. 0 makes each request due as soon
            as a slot is free.
        num_slots: How many requests may be in flight at once, at least 1. A request that is due waits for a free slot.

    Raises:
        ValueError: If a field is out of range.
    """

    num_requests: int = 1
    every_s: float = 0.0
    num_slots: int = 1

    def __post_init__(self) -> None:
        if self.num_requests < 1:
            raise ValueError(f"num_requests must be >= 1, got {self.num_requests}")
        if not 0 <= self.every_s < math.inf:  # NaN fails too
            raise ValueError(f"every_s must be finite and >= 0, got {self.every_s}")
        if self.num_slots < 1:
            raise ValueError(f"num_slots must be >= 1, got {self.num_slots}")


def parse_load(num_requests: int, every: str, num_slots: int) -> Load:
    """A load from the options of the command line; ``every`` is a time with its unit, or empty.

    >>> parse_load(3, "33ms", 2)
    Load(num_requests=3, every_s=0.033, num_slots=2)

    Raises:
        ProblemError: If ``every`` is not a time above 0.
    """
    if not every:
        return Load(num_requests=num_requests, num_slots=num_slots)
    return Load(num_requests=num_requests, every_s=parse_time_s(every, "--every"), num_slots=num_slots)


def parse_time_s(text: str, option: str) -> float:
    """A time with its unit, in seconds.

    >>> parse_time_s("33ms", "--every")
    0.033

    Args:
        text: The time.
        option: What it was given for, in the message.

    Raises:
        ProblemError: If it is not a time above 0.
    """
    found = re.fullmatch(r"([0-9.]+)\s*(s|ms|us)", text)
    try:
        time_s = float(found[1]) / _PER_SECOND[found[2]] if found else 0.0
    except ValueError:
        time_s = 0.0
    if not time_s:
        raise ProblemError(f"{option} {text!r} is not a time above 0; write it as 33ms, 0.5s or 800us")
    return time_s
