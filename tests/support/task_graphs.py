"""Task graphs as scheduling papers give them: seconds of tasks by processor, seconds of edges between processors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from hetsim.core.problem import Problem
from hetsim.io.problem_file import parse_problem


def delay_problem(costs_s: Mapping[str, Sequence[float]], edges_s: Mapping[tuple[str, str], int]) -> Problem:
    """Processors p1, p2, ...; an edge between two takes its seconds, whatever else is on the way."""
    names = [f"p{i}" for i in range(1, len(next(iter(costs_s.values()))) + 1)]
    content = {
        "devices": names,
        "ops": {task: dict(zip(names, seconds, strict=True)) for task, seconds in costs_s.items()},
        "edges": [[a, b, seconds] for (a, b), seconds in edges_s.items()],  # a byte takes a second
        "links": {f"{a}->{b}": {"bandwidth_bytes_per_s": 1.0} for a in names for b in names if a != b},
    }
    return parse_problem(msgspec.json.encode(content), source="test")
