"""Functions that workers of a sweep can import: they note each call in a file, and some end their process."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from hetsim.core.errors import ProblemError


@dataclass(frozen=True)
class Point:
    """A place of a map."""

    row: int
    column: int


@dataclass(frozen=True)
class Value:
    """What is found there."""

    product_s: float
    process: int


def product(calls: Path, point: Point, seconds: float = 0.0) -> Value:
    """The product of a point's numbers, a third of it, so that it is no round number."""
    note(calls, point)
    time.sleep(seconds)
    return Value(product_s=point.row * point.column / 3, process=os.getpid())


def deadly(calls: Path, times: int, point: Point) -> Value:
    """The same, but point (3, 3) ends its process the first ``times`` times."""
    if point == Point(3, 3) and called(calls)[point] < times:
        note(calls, point)
        os.kill(os.getpid(), signal.SIGKILL)
    return product(calls, point)


def picky(calls: Path, point: Point) -> Value:
    """The same, but point (2, 5) is refused, and (2, 7) finds a defect."""
    if point == Point(2, 5):
        raise ProblemError("no device can run it")
    if point == Point(2, 7):
        raise ZeroDivisionError("a defect")
    return product(calls, point)


def endless(point: Point) -> Value:
    """What JSON cannot hold, at point (1, 1)."""
    return Value(product_s=float("inf") if point == Point(1, 1) else 0.0, process=0)


def note(calls: Path, point: Point) -> None:
    """Append the point to the file."""
    with open(calls, "ab", buffering=0) as file:  # appended whole, whoever else appends
        file.write(b"%d %d\n" % (point.row, point.column))


def called(calls: Path) -> Counter[Point]:
    """How often each point was noted."""
    lines = calls.read_text().splitlines() if calls.exists() else []
    return Counter(Point(*map(int, line.split())) for line in lines)
