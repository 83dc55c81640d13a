"""Small problems for tests: builders that spell out every cost, and Hypothesis strategies for random ones."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from hypothesis import strategies as st

from hetsim.core.dataflow import SharingCosts
from hetsim.core.graph import Graph, Op, Tensor
from hetsim.core.load import Load
from hetsim.core.plan import Plan, Segment
from hetsim.core.platform import Device, Host, Link, Memory, Platform
from hetsim.core.problem import Latency, Problem
from hetsim.scheduler.segments import queues_from_assignment

Costs = Mapping[str, Mapping[str, float]]
"""By operator, seconds by device; a device that cannot run the operator is absent."""

LATTICE_S = 0.25
"""Random costs are multiples of this, so that sums are exact and ties are frequent."""


def graph_of(
    reads: Mapping[str, Sequence[str]],
    *,
    kinds: Mapping[str, str] | None = None,
    num_bytes: Mapping[str, int] | None = None,
) -> Graph:
    """A graph from each operator's predecessors; operator ``a`` makes tensor ``a.out``, sources read ``x``."""
    read = {before for others in reads.values() for before in others}
    ops = tuple(
        Op(
            name=name,
            kind=(kinds or {}).get(name, "Relu"),
            inputs=tuple(f"{before}.out" for before in others) or ("x",),
            outputs=(f"{name}.out",),
        )
        for name, others in reads.items()
    )
    tensors = {f"{name}.out": Tensor(f"{name}.out", ((num_bytes or {}).get(name, 1000),), "uint8") for name in reads}
    return Graph(
        name="tiny",
        ops=ops,
        tensors={"x": Tensor("x", (1,)), **tensors},
        inputs=("x",),
        outputs=tuple(f"{name}.out" for name in reads if name not in read),
    )


def platform_of(
    *names: str,
    setup_s: float = 0.0,
    bandwidth_bytes_per_s: float = float("inf"),
    copy: bool = False,
) -> Platform:
    """Devices (``cpu...`` is a CPU, ``gpu...`` a GPU, anything else an NPU) with the same link between any two."""

    def kind(name: str) -> str:
        return next((kind for kind in ("cpu", "gpu") if name.startswith(kind)), "npu")

    link = Link(setup_s=setup_s, bandwidth_bytes_per_s=bandwidth_bytes_per_s, mode="copy" if copy else "zero-copy")
    return Platform(
        name="test",
        devices=tuple(Device(name=name, kind=kind(name), backend="fake") for name in names),  # type: ignore[arg-type]
        links={(a, b): link for a in names for b in names if a != b},
    )


def problem_of(
    graph: Graph,
    costs_s: Costs,
    platform: Platform,
    *,
    launch_s: float = 0.0,
    groups_s: Mapping[tuple[str, tuple[str, ...]], float] | None = None,
    refused: Collection[tuple[str, tuple[str, ...]]] = (),
    model_hash: str = "",
) -> Problem:
    """A problem whose segments cost the sum of their operators, less the launches that one segment saves.

    Single operators and ``groups_s`` (by device and operators) count as measured, everything else as predicted;
    ``refused`` ones cannot run as one.
    """

    def latency(device: str, ops: tuple[str, ...]) -> Latency | None:
        if (device, ops) in refused or any(device not in costs_s[op] for op in ops):
            return None
        if groups_s and (device, ops) in groups_s:
            return Latency(groups_s[device, ops], measured=True)
        total_s = sum(costs_s[op][device] for op in ops) - launch_s * (len(ops) - 1)
        return Latency(total_s, measured=len(ops) == 1)

    return Problem(graph=graph, platform=platform, latency_function=latency, model_hash=model_hash)


def plan_of(graph: Graph, *segments: tuple[str, str], model_hash: str = "") -> Plan:
    """A plan from ``("cpu", "a b c")`` pairs, each device's in the order in which it runs them."""
    queues: dict[str, tuple[Segment, ...]] = {}
    for device, ops in segments:
        queues[device] = (*queues.get(device, ()), Segment(device, tuple(ops.split())))
    return Plan(model=graph.name, queues=queues, model_hash=model_hash)


def inception_like(num_blocks: int = 6, *, launch_s: float = 0.05, num_npus: int = 1) -> Problem:
    """Blocks of four branches between concatenations, as in the inceptions, with costs in milliseconds.

    Convolutions are a little faster on the NPU, pooling and concatenation much slower; every segment pays a launch.
    """
    reads: dict[str, tuple[str, ...]] = {"stem": (), "pool": ("stem",)}
    kinds = {"stem": "Conv", "pool": "MaxPool"}
    sizes_ms = {"stem": 2.0, "pool": 0.2}
    previous = "pool"
    for block in range(num_blocks):
        ends = []
        for branch, widths in enumerate(((0.5,), (0.3, 1.0), (0.2, 0.4, 0.5), (0.1, 0.3))):
            before = previous
            for depth, size_ms in enumerate(widths):
                name = f"b{block}.{branch}.{depth}"
                pool = branch == 3 and depth == 0
                for op, kind, cost_ms in (
                    (name, "MaxPool" if pool else "Conv", size_ms * (1 + 0.1 * ((block + depth) % 3))),
                    (f"{name}.relu", "Relu", 0.02),
                ):
                    reads[op], kinds[op], sizes_ms[op] = (before,), kind, cost_ms
                    before = op
            ends.append(before)
        previous = f"b{block}.concat"
        reads[previous], kinds[previous], sizes_ms[previous] = tuple(ends), "Concat", 0.05
    reads["head"], kinds["head"], sizes_ms["head"] = (previous,), "Gemm", 0.3
    npus = tuple(f"npu{i}" for i in range(num_npus)) if num_npus > 1 else ("npu",)
    factor = {"Conv": 0.9, "Gemm": 1.0, "Relu": 1.0, "MaxPool": 2.0, "Concat": 3.0}
    costs_s = {
        op: {"cpu": size / 1e3 + launch_s / 1e3} | dict.fromkeys(npus, size * factor[kinds[op]] / 1e3 + launch_s / 1e3)
        for op, size in sizes_ms.items()
    }
    platform = platform_of("cpu", *npus, setup_s=2e-6)
    return problem_of(graph_of(reads, kinds=kinds), costs_s, platform, launch_s=launch_s / 1e3, model_hash="cafe")


@st.composite
def graphs(draw: st.DrawFn, max_ops: int = 8) -> Graph:
    """Random directed acyclic graphs, from chains to wide ones; some operators read the input as well."""
    num_ops = draw(st.integers(1, max_ops))
    reads: dict[str, tuple[str, ...]] = {}
    for i in range(num_ops):
        before = draw(st.sets(st.integers(max(0, i - 3), i - 1), max_size=3)) if i else set()
        reads[f"op{i}"] = tuple(f"op{j}" for j in sorted(before))
    kinds = {name: draw(st.sampled_from(("Conv", "Relu", "Concat"))) for name in reads}
    num_bytes = {name: 1000 * draw(st.integers(0, 3)) for name in reads}
    return graph_of(reads, kinds=kinds, num_bytes=num_bytes)


@st.composite
def problems(draw: st.DrawFn, max_ops: int = 8, max_devices: int = 3, *, partial: bool = True) -> Problem:
    """Random problems; with ``partial`` some devices cannot run some operators."""
    graph = draw(graphs(max_ops))
    names = ("cpu", "npu0", "npu1")[: draw(st.integers(1, max_devices))]
    copy = draw(st.booleans())
    platform = platform_of(
        *names,
        setup_s=LATTICE_S * draw(st.integers(0, 2)),
        bandwidth_bytes_per_s=1000 / LATTICE_S,
        copy=copy,
    )
    launch_s = LATTICE_S * draw(st.integers(0, 1))
    cost_s = st.integers(1 if launch_s else 0, 8).map(lambda n: n * LATTICE_S)
    costs_s = {}
    for op in graph.ops:
        runnable = draw(st.sets(st.sampled_from(names), min_size=1)) if partial else set(names)
        costs_s[op.name] = {name: draw(cost_s) for name in names if name in runnable}
    return problem_of(graph, costs_s, platform, launch_s=launch_s)


@st.composite
def assignments(draw: st.DrawFn, problem: Problem) -> tuple[dict[str, str], dict[str, int]]:
    """A device for each operator that can run it, and a level above 0 for a few operators."""
    device_of = {op.name: draw(st.sampled_from(problem.devices_for((op.name,)))) for op in problem.graph.ops}
    level_of = {op.name: draw(st.sampled_from((0, 0, 0, 1, 2))) for op in problem.graph.ops}
    return device_of, {op: levels for op, levels in level_of.items() if levels}


@st.composite
def physical_problems(draw: st.DrawFn, max_ops: int = 8, max_devices: int = 5) -> Problem:
    """Random problems in which every rule acts: links of all modes mixed, shared tensors, contention, a host; on the
    lattice or off."""
    graph = draw(graphs(max_ops))
    names = ("cpu", "npu0", "npu1", "gpu", "npu2")[: draw(st.integers(1, max_devices))]
    on_lattice = draw(st.booleans())

    def seconds(most: int) -> st.SearchStrategy[float]:
        return st.integers(0, most).map(lambda n: n * LATTICE_S) if on_lattice else _roughly(most * LATTICE_S)

    def bytes_per_s() -> st.SearchStrategy[float]:
        most = 1000 / LATTICE_S
        return st.sampled_from((most, 2 * most, float("inf"))) if on_lattice else st.floats(most / 9, 3 * most)

    modes = st.sampled_from(draw(st.sampled_from((("zero-copy",), ("copy",), ("zero-copy", "copy", "absent")))))
    links = {}
    for a in names:
        for b in names:
            mode = draw(modes)
            if a != b and mode != "absent":
                links[a, b] = Link(setup_s=draw(seconds(2)), bandwidth_bytes_per_s=draw(bytes_per_s()), mode=mode)  # type: ignore[arg-type]
    platform = replace(
        platform_of(*names),
        links=links,
        memory=Memory(shared_bytes_per_s=draw(bytes_per_s())),
        host=Host(
            submit_setup_s=draw(seconds(2)),
            collect_setup_s=draw(seconds(2)),
            bandwidth_bytes_per_s=draw(bytes_per_s()),
        ),
    )
    costs_s, traffic = {}, {}
    for op in graph.ops:
        runnable = draw(st.sets(st.sampled_from(names), min_size=1))
        costs_s[op.name] = {name: draw(seconds(8)) for name in names if name in runnable}
        traffic[op.name] = draw(st.sampled_from((0, 1000, 2000, 5000)))
    problem = problem_of(graph, costs_s, platform)
    if draw(st.booleans()):
        problem = replace(problem, sharing=draw(sharing_costs(problem, seconds(2))))
    if draw(st.booleans()):
        return problem
    return replace(problem, traffic_function=lambda _, ops: sum(traffic[op] for op in ops), _known={})


def _roughly(most: float) -> st.SearchStrategy[float]:
    """Numbers that do not add up exactly; often none at all, and often the same."""
    return st.one_of(st.just(0.0), st.just(most / 3), st.floats(most * 1e-3, most))


def random_plan(data: st.DataObject, problem: Problem) -> Plan:
    device_of, raised = data.draw(assignments(problem))
    return Plan(model=problem.graph.name, queues=queues_from_assignment(problem.graph, device_of, raised))


LOADS = st.builds(
    Load,
    num_requests=st.integers(1, 4),
    every_s=st.sampled_from([0.0, 0.25, 1.0, 3.0]),
    num_slots=st.integers(1, 3),
)


def zero_copy(problem: Problem) -> Problem:
    """The same problem with hand-overs that do not queue."""
    links = {pair: replace(link, mode="zero-copy") for pair, link in problem.platform.links.items()}
    return replace(problem, platform=replace(problem.platform, links=links))


def sharing_of(
    read_s: Mapping[tuple[str, str], float], written_s: Mapping[tuple[str, str], float] | None = None
) -> SharingCosts:
    """What shared tensors cost, by device and operator that makes the tensor; nothing where nothing is stated."""
    made_s = written_s or {}

    def cost_s(table: Mapping[tuple[str, str], float]) -> Callable[[str, str], float]:
        return lambda device, tensor: table.get((device, tensor.removesuffix(".out")), 0.0)

    return SharingCosts(cost_s(read_s), cost_s(made_s))


@st.composite
def sharing_costs(draw: st.DrawFn, problem: Problem, seconds: st.SearchStrategy[float]) -> SharingCosts:
    """Random costs of shared tensors: few different ones, that differ by device, tensor and side."""
    figures = draw(st.lists(seconds, min_size=1, max_size=7))
    device_at = {name: i for i, name in enumerate(problem.platform.device_names)}
    tensor_at = {tensor: i for i, tensor in enumerate(problem.graph.producer)}

    def cost_s(side: int) -> Callable[[str, str], float]:
        return lambda device, tensor: figures[(3 * tensor_at[tensor] + 2 * device_at[device] + side) % len(figures)]

    return SharingCosts(cost_s(0), cost_s(1))


@st.composite
def charged(draw: st.DrawFn, problems: st.SearchStrategy[Problem]) -> Problem:
    """Problems whose segments pay for shared tensors: up to twice the lattice for each."""
    problem = draw(problems)
    lattice = st.integers(0, 2).map(lambda n: n * LATTICE_S)
    return replace(problem, sharing=draw(sharing_costs(problem, lattice)))


@st.composite
def ladders(draw: st.DrawFn, max_devices: int = 2) -> Problem:
    """Random blocks in a row: forks of branches, some longer, some crossed by an edge, that end in a join; 7 ops."""
    reads: dict[str, tuple[str, ...]] = {}
    before: tuple[str, ...] = ()
    while len(reads) < 7:
        ends = []
        for _ in range(min(draw(st.sampled_from((0, 1, 2, 3, 4, 5))), 6 - len(reads))):
            name, way = f"op{len(reads)}", draw(st.sampled_from(("fork", "chain", "cross")))
            reads[name] = (ends.pop(0),) if way == "chain" and ends else before
            if way == "cross":
                reads[name] += tuple(ends[-1:])
            ends.append(name)
        passed_by = before if draw(st.booleans()) else ()
        reads[f"op{len(reads)}"] = (*passed_by, *ends) or before
        before = (f"op{len(reads) - 1}",)
    names = ("cpu", "npu0", "npu1")[:max_devices]
    cost_s = st.integers(0, 8).map(lambda n: n * LATTICE_S)
    links = {(a, b): Link(setup_s=LATTICE_S * draw(st.sampled_from((0, 1, 4)))) for a in names for b in names if a != b}
    costs_s = {
        op: {name: draw(cost_s) for name in draw(st.sampled_from((names, names[:1], names[1:])))} for op in reads
    }
    return problem_of(graph_of(reads), costs_s, replace(platform_of(*names), links=links))
