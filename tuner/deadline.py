"""When a search must end: at a point in time, or when Ctrl-C is pressed."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadline:
    """When a search must end.

    Attributes:
        until_s: The search starts nothing new once :func:`time.monotonic` has reached this.
        interrupted: Returns whether Ctrl-C asked for the search to end.
    """

    until_s: float = math.inf
    interrupted: Callable[[], bool] = lambda: False

    def passed(self) -> bool:
        """Whether to end now."""
        return self.interrupted() or time.monotonic() >= self.until_s

    @property
    def reason(self) -> str:
        """Why the deadline has passed, for people."""
        return "interrupted" if self.interrupted() else "the time limit was reached"


@contextmanager
def stop_on_interrupt() -> Iterator[Callable[[], bool]]:
    """A function that returns whether Ctrl-C was pressed; a second Ctrl-C raises KeyboardInterrupt as usual.

    Outside the main thread, which alone receives the signal, it always returns False.
    """
    pressed = False
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return

    def press(number: int, frame: FrameType | None) -> None:
        nonlocal pressed
        if pressed:
            signal.default_int_handler(number, frame)
        pressed = True

    before = signal.signal(signal.SIGINT, press)
    try:
        yield lambda: pressed
    finally:
        signal.signal(signal.SIGINT, before)
