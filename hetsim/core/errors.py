"""The errors a user can cause, one class per noun; each message says what was asked, what exists, what to do."""

from __future__ import annotations

_MAX_CHARS = 2000


class HetsimError(Exception):
    """Base of all errors that a person can mend; the command line prints it as one line and exits with 2.

    One line whatever the names in it are: white space and control characters become blanks, and what is very long ends
    in dots.
    """

    def __str__(self) -> str:
        line = " ".join("".join(c if c.isprintable() else " " for c in super().__str__()).split())
        return line if len(line) <= _MAX_CHARS else f"{line[:_MAX_CHARS]}..."


class ModelError(HetsimError):
    """A model cannot be read, or asks for something outside the project's scope."""


class PlatformError(HetsimError):
    """A platform file is malformed, or names hardware or an engine that is not here."""


class ProfileError(HetsimError):
    """A profile is malformed, or was taken from another model, machine or engine."""


class PlanError(HetsimError):
    """A plan is malformed, belongs to another model, or could not run to its end."""


class ProblemError(HetsimError):
    """A problem has no solution: an operator that no device can run, an impossible cost."""


class SweepError(HetsimError):
    """A sweep cannot be gone on with: its file holds another one, or its workers cannot be reached or keep dying."""


class DeviceError(HetsimError):
    """A device failed while compiling or running: it raised, died, or stopped answering.

    Attributes:
        device: Name of the device.
        segment: The operators it was working on, if known.
    """

    def __init__(self, message: str, *, device: str, segment: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.device = device
        self.segment = segment
