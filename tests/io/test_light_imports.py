"""A task graph is loaded, planned and simulated without the libraries that only models, engines and pictures need."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import sys
from hetsim.io.problem_file import parse_problem
from hetsim.scheduler.registry import solve
from hetsim.sim.simulate import simulate
import hetsim.sim.compiled

content = b'{"devices": ["cpu", "npu"], "ops": {"a": {"cpu": 1}, "b": {"npu": 2}}, "edges": [["a", "b", 4]]}'
problem = parse_problem(content, source="tiny")
simulate(problem, solve("heft", problem).plan)
print(*sorted({"onnx", "onnxruntime", "openvino", "matplotlib", "numba"}.intersection(sys.modules)))
"""


def test_a_task_graph_needs_no_onnx_no_engine_no_numba_and_no_pictures() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], check=True, capture_output=True, text=True)
    assert done.stdout.split() == []
