"""What SAGA's throughput schedulers make of task graphs; run by the Python of an environment that has ``anrg-saga``.

It reads a list of instances as JSON and writes, for each, the assignment and the throughput by SAGA's own definition
(1 over the load of the most loaded node or link) of each scheduler. It imports nothing of hetsim, because SAGA needs
Python 3.12 and libraries that hetsim does without.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import Any


def plans(instance: dict[str, Any]) -> dict[str, Any]:
    """By scheduler, the node of each task and the throughput."""
    from saga import Network, TaskGraph
    from saga.schedulers.throughput import MaxTPScheduler, MTScheduler

    tasks = TaskGraph.create(
        tasks=[tuple(each) for each in instance["tasks"]], dependencies=[tuple(each) for each in instance["edges"]]
    )
    network = Network.create(
        nodes=[tuple(each) for each in instance["nodes"]], edges=[tuple(each) for each in instance["links"]]
    )
    found = {}
    for name, scheduler in (("maxtp", MaxTPScheduler()), ("mt", MTScheduler())):
        schedule = scheduler.schedule(network, tasks)
        node_of = {task: schedule.get_scheduled_task(task).node for task, _ in instance["tasks"]}
        found[name] = {"node_of": node_of, "throughput_per_s": schedule.throughput}
    return found


if __name__ == "__main__":
    logging.disable(logging.WARNING)  # of super sources and sinks
    json.dump([plans(instance) for instance in json.load(sys.stdin)], sys.stdout)
