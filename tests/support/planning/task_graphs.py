"""Task graphs as scheduling papers give them: seconds of tasks by processor, seconds of edges between processors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

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


# split writes two parts for two counts, whose numbers sum adds up; report waits for sum without reading of it.
WORKFLOW: dict[str, Any] = {
    "name": "word count",
    "schemaVersion": "1.5",
    "workflow": {
        "specification": {
            "tasks": [
                {
                    "name": "split", "id": "split_1", "parents": [], "children": ["count_1", "count_2"],
                    "inputFiles": ["book"], "outputFiles": ["part_1", "part_2"],
                },
                {
                    "name": "count", "id": "count_1", "parents": ["split_1"], "children": ["sum_1"],
                    "inputFiles": ["part_1"], "outputFiles": ["number_1"],
                },
                {
                    "name": "count", "id": "count_2", "parents": ["split_1"], "children": ["sum_1"],
                    "inputFiles": ["part_2"], "outputFiles": ["number_2"],
                },
                {
                    "name": "sum", "id": "sum_1", "parents": ["count_1", "count_2"], "children": ["report_1"],
                    "inputFiles": ["number_1", "number_2"], "outputFiles": ["total"],
                },
                {"name": "report", "id": "report_1", "parents": ["sum_1"], "children": []},
            ],
            "files": [
                {"id": "book", "sizeInBytes": 9000},
                {"id": "part_1", "sizeInBytes": 4000},
                {"id": "part_2", "sizeInBytes": 5000},
                {"id": "number_1", "sizeInBytes": 4},
                {"id": "number_2", "sizeInBytes": 4},
                {"id": "total", "sizeInBytes": 4},
            ],
        },
        "execution": {
            "makespanInSeconds": 9.0,
            "executedAt": "2026-01-01T00:00:00Z",
            "tasks": [
                {"id": "split_1", "runtimeInSeconds": 1.0, "coreCount": 1},
                {"id": "count_1", "runtimeInSeconds": 4.0},
                {"id": "count_2", "runtimeInSeconds": 6.0},
                {"id": "sum_1", "runtimeInSeconds": 2},
                {"id": "report_1", "runtimeInSeconds": 0.5},
            ],
        },
    },
}  # fmt: skip


def older_workflow(new: dict[str, Any]) -> dict[str, Any]:
    """The same workflow as version 1.3 writes it: dependencies at one end, files inside tasks."""
    specification, execution = new["workflow"]["specification"], new["workflow"]["execution"]
    sizes = {file["id"]: file["sizeInBytes"] for file in specification["files"]}
    runtimes = {task["id"]: task["runtimeInSeconds"] for task in execution["tasks"]}
    return {
        "name": new["name"],
        "schemaVersion": "1.3",
        "workflow": {
            "tasks": [
                {
                    "name": task["id"],
                    "type": "compute",
                    "runtime": runtimes[task["id"]],
                    "parents": task["parents"],
                    "files": [
                        {"name": name, "link": link, "size": sizes[name]}
                        for key, link in (("inputFiles", "input"), ("outputFiles", "output"))
                        for name in task.get(key, [])
                    ],
                }
                for task in specification["tasks"]
            ]
        },
    }


# Each is the graph a -> b, c -> d of 2, 3, 4 and 1.5 units, with hand-overs of a unit, of two to d, or of nothing.
STG: tuple[bytes, ...] = (
    b"4\n0 0 0\n1 2 1 0\n2 3 1 1\n3 4 1 1\n4 1.5 2 2 3\n5 0 1 4\n# Standard Task Graph Set\n#  Tasks : 4\n",
    b"   4\n   1   2   0\n   2   3   1   1   1\n   3   4   1   1   1\n   4  1.5   2   2   2   3   2\n",
    b"4 2  # two processors\n1 2 0\n2 3 1\n 1 1\n3 4 1\n 1 1\n4 1.5 2\n 2 2\n 3 2\n5 0 1\n 4 0\n",
)
"""In the format's three layouts: without costs of edges, with costs on the task's line, with costs on lines of their
own."""
DOT: tuple[bytes, ...] = (
    b"""strict digraph "a graph" { // of four tasks
  node [shape=box]; rankdir = LR
  a [Weight=2, label=<<b>first</b>>]; b [Weight=3]; c [Weight="4"]
  subgraph cluster_end { node [Weight=1.5] d }
  a -> {b c} [Weight=1]
  /* a join */ b:s -> d:n [Weight=2]; c -> d [Weight=2]
}
""",
    b"digraph { a [cpu=2 npu=1]; b [cpu=3]; c [npu=2]; d [npu=.75, cpu=1.5]; a -> b -> d; a -> c -> d }",
)
"""With costs of tasks and edges, and with costs by device."""
