"""Graphviz DOT with costs as attributes: nodes are tasks, edges dependencies.

The cost of a task is an attribute of one name on all of them, or for each device an attribute called like the device; a
task that has some of these cannot run on devices whose attribute it lacks. The cost of an edge is an attribute of one
name on all edges; if there is none, edges cost nothing. What Graphviz draws by other attributes is skipped.

pydot reads DOT too, but does not keep the lines of what it reads, so that errors could not name them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

from hetsim.core.errors import ProblemError
from hetsim.core.problem import Problem
from hetsim.io.task_graphs.costs import Costs, Edge, Task, make_task_problem, read_number
from hetsim.io.task_graphs.dot_syntax import DotEdge, DotGraph, DotNode, parse_graph

COST_NAMES = ("cost", "weight", "time", "size")
"""Attributes that are costs unless the caller names another, in any case of letters."""


def parse_dot(text: str, *, name: str, costs: Costs) -> Problem:
    """The problem of a text in the DOT language; it is called ``name`` unless the graph has a name.

    Raises:
        ProblemError: If the text has a mistake; the message begins with its line.
    """
    graph = parse_graph(text)
    if not graph.nodes:
        raise ProblemError("line 1: the graph has no nodes; expected tasks")
    return make_task_problem(graph.name or name, _tasks(graph.nodes, costs), _edges(graph, costs), costs)


def _tasks(nodes: Mapping[str, DotNode], costs: Costs) -> dict[str, Task]:
    devices = set(costs.speeds)
    alike = {name: node for name, node in nodes.items() if not devices & node.attributes.keys()}
    key = _cost_key((node.attributes for node in alike.values()), costs.task_cost, "tasks", "--task-cost")
    tasks: dict[str, Task] = {}
    for name, node in nodes.items():
        where = f"task {name[:80]!r}"
        attributes = _lowered(node.attributes)
        if name in alike and (key is None or key.lower() not in attributes):
            wanted = repr(key) if key else f"one of {', '.join(COST_NAMES)}"
            raise ProblemError(
                f"line {node.line}: {where} has no cost; expected attribute {wanted}, one called like a device, or "
                "--task-cost"
            )
        named = {"": attributes[key.lower()]} if name in alike and key else {}
        named |= {device: value for device, value in node.attributes.items() if device in devices}
        times = {
            device: float(read_number(value, node.line, f"the cost of {where}")) for device, value in named.items()
        }
        tasks[name] = Task(times=times, line=node.line)
    return tasks


def _edges(graph: DotGraph, costs: Costs) -> list[Edge]:
    merged = list(_merged(graph.edges)) if graph.strict else graph.edges
    key = _cost_key((edge.attributes for edge in merged), costs.edge_cost, "edges", "--edge-cost")
    edges: list[Edge] = []
    for edge in merged:
        where = f"edge {edge.source[:80]!r} -> {edge.target[:80]!r}"
        attributes = _lowered(edge.attributes)
        if key is not None and key.lower() not in attributes:
            raise ProblemError(
                f"line {edge.line}: {where} has no attribute {key!r}; expected one on each edge or on none"
            )
        cost = Decimal(0) if key is None else read_number(attributes[key.lower()], edge.line, f"the cost of {where}")
        edges.append(Edge(source=edge.source, target=edge.target, cost=cost, line=edge.line))
    return edges


def _merged(edges: Iterable[DotEdge]) -> Iterable[DotEdge]:
    """Edges of a strict graph: of several between two nodes there is one, with the attributes of all."""
    found: dict[tuple[str, str], DotEdge] = {}
    for edge in edges:
        first = found.get((edge.source, edge.target), edge)
        merged = first.attributes | edge.attributes
        found[edge.source, edge.target] = DotEdge(edge.source, edge.target, merged, first.line)
    return found.values()


def _cost_key(attributes: Iterable[Mapping[str, str]], wanted: str | None, whose: str, option: str) -> str | None:
    """The attribute that holds costs; None if there is none."""
    if wanted is not None:
        return wanted
    present = {name.lower() for each in attributes for name in each}
    found = [name for name in COST_NAMES if name in present]
    if len(found) > 1:
        raise ProblemError(f"line 1: {whose} have attributes {' and '.join(found)}; expected one of them, or {option}")
    return found[0] if found else None


def _lowered(attributes: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in attributes.items()}
