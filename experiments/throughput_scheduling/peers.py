"""SAGA as an optional peer: its throughput schedulers, run by the Python of an environment of their own.

J. Coleman, B. Krishnamachari, "SAGA: a Python library for the comparison of task graph scheduling algorithms", package
``anrg-saga``.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.throughput_scheduling.instances import Instance
from hetsim.core.errors import HetsimError
from hetsim.core.plan import Segment
from hetsim.scheduler.throughput.loads import loads, resources

SCHEDULERS = ("maxtp", "mt")
_SCRIPT = Path(__file__).with_name("saga_plans.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """What a scheduler of SAGA serves.

    Attributes:
        per_s: Requests per second by hetsim's loads: 1 over that of the most loaded device or channel.
        own_per_s: The throughput that SAGA itself gives its schedule.
    """

    per_s: float
    own_per_s: float


def saga_peers(python: Path, instances: Sequence[Instance]) -> list[dict[str, Peer]]:
    """By instance and name of :data:`SCHEDULERS`, what it serves.

    Args:
        python: The Python of an environment that has SAGA 2.1.
        instances: The task graphs.

    Raises:
        HetsimError: If it does not run.
    """
    request = json.dumps([instance.description() for instance in instances])
    fixed = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"PYTHONHASHSEED": "0"}
    try:
        done = subprocess.run(
            [python, "-P", _SCRIPT], input=request, env=fixed, capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise HetsimError(
            f"--saga {python} cannot be started: {error.strerror}; give the Python that has SAGA"
        ) from None
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise HetsimError(f"--saga {python} failed: {reason}; it needs Python 3.12 or later and: pip install anrg-saga")
    answers = json.loads(done.stdout)
    if len(answers) != len(instances):
        raise HetsimError(
            f"--saga {python} answers {len(answers)} of {len(instances)} task graphs; is it SAGA's Python?"
        )
    return [
        {
            name: Peer(
                per_s=_served(instance, answer[name]["node_of"]), own_per_s=float(answer[name]["throughput_per_s"])
            )
            for name in SCHEDULERS
        }
        for instance, answer in zip(instances, answers, strict=True)
    ]


def _served(instance: Instance, node_of: dict[str, str]) -> float:
    """Requests per second of an assignment, each operator a segment of its own."""
    problem = instance.problem
    queues = {
        name: tuple(Segment(name, (op.name,)) for op in problem.graph.ops if node_of[op.name] == name)
        for name in problem.platform.device_names
    }
    relative = loads(problem, problem.plan(queues, scheduler="saga")) / resources(problem).capacities
    return 1 / float(relative.max())
