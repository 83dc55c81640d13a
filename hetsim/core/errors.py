"""Errors that a user can cause or mend. Each message says what was asked, what exists and what to do."""

from __future__ import annotations

_MAX_CHARS = 2000


class HetsimError(Exception):
    """Base of all errors that a user can mend. The command line prints the message and exits with :attr:`exit_code`.

    The message is always a single line: white space and control characters become blanks, and a very long message is
    cut and ends in dots.
    """

    exit_code = 2

    def __str__(self) -> str:
        line = " ".join("".join(c if c.isprintable() else " " for c in super().__str__()).split())
        return line if len(line) <= _MAX_CHARS else f"{line[:_MAX_CHARS]}..."


class ModelError(HetsimError):
    """A model cannot be read, or needs something that hetsim does not support."""


class PlatformError(HetsimError):
    """A platform file is malformed, or names hardware or an engine that this machine does not have."""


class ProfileError(HetsimError):
    """A profile is malformed, or was measured with another model, machine or engine."""


class PlanError(HetsimError):
    """A plan is malformed, was made for another model, or can never finish."""


class ProblemError(HetsimError):
    """A problem is malformed or has no solution, such as an operator that no device can run."""


class SweepError(HetsimError):
    """A sweep cannot continue: its file holds another sweep, or its workers cannot be reached or keep dying."""


class DeviceError(HetsimError):
    """A device failed while it compiled or ran: it raised an error, died, or stopped answering.

    Attributes:
        device: Name of the device.
        segment: The operators of the segment that it was working on; empty if unknown.
    """

    def __init__(self, message: str, *, device: str, segment: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.device = device
        self.segment = segment


class OutputsError(HetsimError):
    """No plan computes what the reference engine computes, so nothing can be recommended."""

    exit_code = 1
