"""A record of behaviour, to be compared bit for bit before and after a change that should not change any.

``python -m tests.behaviour_record PROFILES OUT.json`` plans from every stored profile ``MODEL@PLATFORM.jsonl`` in a
folder with every scheduler, predicts a thousand random segments each, simulates random plans, with and without a load,
applies scenarios, plans for hypothetical platforms, and reads every file that is given with ``--files``. It writes
digests and hexadecimal makespans. ``--against OLD.json`` names what differs and exits with 1.

Profiles come from ``hetsim profile MODEL --platform PLATFORM --out MODEL@PLATFORM.jsonl``. The bits of a prediction
depend on the machine's linear algebra, so both records must come from one machine.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sys
from pathlib import Path
from typing import Any

import hetsim
from hetsim.core.graph import Graph
from hetsim.core.timeline import Timeline
from hetsim.models.zoo import zoo_names
from hetsim.scheduler.effort import Effort
from hetsim.scheduler.random_plans import random_plans
from hetsim.scheduler.registry import scheduler_names, solve

NUM_SEGMENTS = 1000
SCENARIOS = (
    ["npu.speed=4"],
    ["npu.speed.Conv=2", "handover=2x"],
    ["npu.count=2", "cpu.speed=1.5"],
    ["npu.launch_s=0.001", "npu.unsupported=Concat"],
)
HYPOTHETICAL = ("paper-board", "paper-board-4", "phone", "laptop")
REFEREE = "cp_sat"  # a solver with several threads and a time limit, whose plans may differ from run to run

Entry = dict[str, Any]


def digest(value: object) -> str:
    """A short name for a value's representation."""
    return hashlib.sha256(repr(value).encode()).hexdigest()[:20]


def of_graph(graph: Graph) -> str:
    """A digest of all that a graph holds."""
    ops = [(op.name, op.kind, op.inputs, op.outputs, op.weight_bytes, op.num_macs) for op in graph.ops]
    return digest([ops, [(n, t.shape, t.dtype) for n, t in graph.tensors.items()], graph.inputs, graph.outputs])


def of_timeline(timeline: Timeline) -> str:
    """A digest of all spans, to the last bit."""
    return digest(
        [
            (s.kind, s.device, s.ops, s.start_s.hex(), s.end_s.hex(), s.tensor, s.source, s.request)
            for s in timeline.spans
        ]
    )


def random_segments(graph: Graph, seed: int, count: int) -> list[tuple[str, ...]]:
    """Convex stretches of the graph's order, short ones more often."""
    generator, found = random.Random(seed), []
    while len(found) < count:
        start = generator.randrange(len(graph.ops))
        names = [op.name for op in graph.ops[start : start + 1 + int(generator.expovariate(1 / 6))]]
        if graph.is_convex(names):
            found.append(tuple(names))
    return found


def of_problem(problem: hetsim.Problem, max_evaluations: int) -> Entry:
    """Costs of random segments, and every scheduler's plan."""
    costs = [
        (device, latency and (float(latency.seconds).hex(), latency.measured, latency.stated))
        for ops in random_segments(problem.graph, 7, NUM_SEGMENTS)
        for device in problem.platform.device_names
        for latency in (problem.latency(device, ops),)
    ]
    entry: Entry = {"segments": digest(costs)}
    for name in scheduler_names(problem):
        if name == REFEREE:
            continue
        try:
            plan = solve(name, problem, Effort(seed=3, max_evaluations=max_evaluations)).plan
        except hetsim.HetsimError as error:
            entry[name] = type(error).__name__
            continue
        timeline = hetsim.simulate(problem, plan)
        entry[name] = [plan.digest, float(timeline.makespan_s).hex(), of_timeline(timeline)]
    return entry


def of_profile(path: Path) -> Entry:
    """All that is planned and simulated from a stored profile."""
    name, _, platform_name = path.stem.partition("@")
    model, platform = hetsim.load_model(name), hetsim.load_platform(platform_name)
    profile = hetsim.load_profile(path)
    problem = hetsim.make_problem(model, platform, profile)
    entry = of_problem(problem, 400)
    load = hetsim.Load(num_requests=5, every_s=0.004, num_slots=2)
    for plan in random_plans(problem, 8, seed=5):
        own = hetsim.plan_problem(model, platform, profile, plan)
        entry[plan.scheduler] = [
            of_timeline(hetsim.simulate(own, plan)),
            of_timeline(hetsim.simulate(own, plan, load=load)),
        ]
    for settings in SCENARIOS:
        changed = hetsim.parse_scenario(settings).problem(problem)
        segments = random_segments(changed.graph, 9, 200)
        costs = [changed.cost_s(device, ops).hex() for ops in segments for device in changed.platform.device_names]
        entry[",".join(settings)] = digest(costs)
    return entry


def of_file(path: Path) -> object:
    """What a reader makes of a model or a problem file, or the kind of error."""
    try:
        if path.suffix == ".onnx":
            model = hetsim.load_model(path)
            return [of_graph(model.graph), model.hash]
        return of_problem(hetsim.load_problem(path), 2000)
    except hetsim.HetsimError as error:
        return type(error).__name__


def record(profiles: Path, files: list[Path]) -> Entry:
    """The whole record."""
    found: Entry = {path.stem: of_profile(path) for path in sorted(profiles.glob("*@*.jsonl"))}
    for platform in HYPOTHETICAL:
        for name in ("squeezenet", "resnet18"):
            problem = hetsim.make_problem(hetsim.load_model(name), hetsim.load_platform(platform))
            found[f"{name} on {platform}"] = of_problem(problem, 150)
    for name in zoo_names():
        model = hetsim.load_model(name)
        found[f"zoo {name}"] = [of_graph(model.graph), model.hash]
    return found | {str(path.name): of_file(path) for path in sorted(files)}


def main() -> int:
    """Write a record; compare it if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("profiles", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--files", type=Path, nargs="*", default=[], help="models and problem files to read")
    parser.add_argument("--against", type=Path, help="an earlier record")
    arguments = parser.parse_args()
    found = record(arguments.profiles, arguments.files)
    arguments.out.write_text(json.dumps(found, indent=1, sort_keys=True))
    before = json.loads(arguments.against.read_text()) if arguments.against else {}
    after = json.loads(json.dumps(found))
    differ = sorted(key for key in before if before[key] != after.get(key))
    sys.stdout.write(f"{len(found)} entries; {len(differ)} differ{': ' if differ else ''}{', '.join(differ)}\n")
    return int(bool(differ))


if __name__ == "__main__":
    sys.exit(main())
