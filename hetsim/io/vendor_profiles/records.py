"""What a profile of a vendor's tool says, whatever its format: calls of a network, and operators within them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class OpTime:
    """One operator in one call.

    Attributes:
        name: As the file has it.
        candidates: What the operator may be called in the model, the most likely name first.
        kind: The vendor's name of the operator type; empty if the file says none.
        seconds: Its time; finite and non-negative.
    """

    name: str
    candidates: tuple[str, ...]
    kind: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One execution of the network, or the average of several.

    Attributes:
        ops: Its operators in the order of the file.
        total_s: The whole call as the application sees it; None if the file does not say.
        launch_parts_s: By description, disjoint parts of what the call takes beside its operators.
        also_s: By description, times within those parts that the file states besides.
    """

    ops: tuple[OpTime, ...]
    total_s: float | None = None
    launch_parts_s: Mapping[str, float] = field(default_factory=dict)
    also_s: Mapping[str, float] = field(default_factory=dict)

    @property
    def ops_s(self) -> float:
        """The time of all operators together."""
        return sum(op.seconds for op in self.ops)

    @property
    def launch_s(self) -> float | None:
        """What the call takes beside its operators, at least 0; None if the file does not say."""
        return None if self.total_s is None else max(0.0, self.total_s - self.ops_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class VendorProfile:
    """A vendor's profile.

    Attributes:
        format: Name of the format, such as ``"qnn-optrace"``.
        engine: Who wrote it, for people.
        files: The files that it was read from.
        calls: At least one, in the order in which they were executed.
        is_average: Whether the only call stands for several, so that cold and warm ones cannot be told apart.
        not_run: Names of operators that the file lists as not run, since others do their work.
        traffic_bytes: By an operator's name in the file, bytes that it read from and wrote to the main memory.
    """

    format: str
    engine: str
    files: tuple[str, ...]
    calls: tuple[Call, ...]
    is_average: bool = False
    not_run: frozenset[str] = frozenset()
    traffic_bytes: Mapping[str, int] = field(default_factory=dict)
