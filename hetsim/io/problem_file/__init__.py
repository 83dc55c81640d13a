"""Problems without ONNX as JSON files: a task graph, the costs of its operators, and links.

The format, by example; docs/formats.md has every key::

    {"devices": ["cpu", "npu"],
     "ops": {"a": {"cpu": 1.0, "npu": 0.5}, "b": {"cpu": 2.0}},
     "edges": [["a", "b", 4096]],
     "links": {"npu->cpu": {"setup_s": 1e-6, "bandwidth_bytes_per_s": 1e9}}}

Units are seconds and bytes. Each edge is a tensor, handed over once to each device that needs it. Edges of one producer
that end with the same name are one tensor with several readers. The cost of a segment of several operators is its entry
in ``groups``, otherwise the sum of its operators' costs.
"""

from hetsim.io.problem_file.entries import EdgeEntry, LinkEntry, ProblemFile
from hetsim.io.problem_file.reading import load_problem, make_table_problem, parse_problem
from hetsim.io.problem_file.writing import save_problem

__all__ = [
    "EdgeEntry",
    "LinkEntry",
    "ProblemFile",
    "load_problem",
    "make_table_problem",
    "parse_problem",
    "save_problem",
]
