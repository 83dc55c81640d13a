"""What a model, a machine, a plan and a timeline are, and how long a plan takes on paper.

A model and measurements of it make a :class:`Problem`; a scheduler turns that into a :class:`Plan`;
:func:`simulate` turns the plan into a :class:`Timeline`, and the runtime, executing it, into one as well::

    model, platform = hetsim.load_model("squeezenet"), hetsim.load_platform()
    problem = hetsim.make_problem(model, platform, hetsim.load_profile("profile.jsonl"))
    timeline = hetsim.simulate(problem, scheduler.make_plan("search", problem))

No ONNX and no engine is needed where costs come from a table. Three operators, the last of which waits for both
others; the NPU hands over in half a second:

>>> import hetsim
>>> graph = hetsim.Graph(
...     name="fork",
...     ops=(
...         hetsim.Op(name="a", kind="Conv", inputs=("x",), outputs=("a.out",)),
...         hetsim.Op(name="b", kind="Conv", inputs=("x",), outputs=("b.out",)),
...         hetsim.Op(name="c", kind="Add", inputs=("a.out", "b.out"), outputs=("y",)),
...     ),
...     tensors={name: hetsim.Tensor(name, (1000,)) for name in ("x", "a.out", "b.out", "y")},
...     inputs=("x",),
...     outputs=("y",),
... )
>>> platform = hetsim.Platform(
...     name="desk",
...     devices=(
...         hetsim.Device(name="cpu", kind="cpu", backend="fake"),
...         hetsim.Device(name="npu", kind="npu", backend="fake"),
...     ),
...     links={("npu", "cpu"): hetsim.Link(setup_s=0.5)},
... )
>>> seconds = {"cpu": {"a": 3.0, "b": 4.0, "c": 1.0}, "npu": {"a": 6.0, "b": 2.0}}
>>> def cost(device, ops):
...     if all(op in seconds[device] for op in ops):
...         return hetsim.Latency(sum(seconds[device][op] for op in ops))
>>> problem = hetsim.Problem(graph=graph, platform=platform, latency_function=cost)
>>> plan = hetsim.Plan(
...     model="fork",
...     queues={
...         "cpu": (hetsim.Segment("cpu", ("a",)), hetsim.Segment("cpu", ("c",))),
...         "npu": (hetsim.Segment("npu", ("b",)),),
...     },
... )
>>> timeline = hetsim.simulate(problem, plan)
>>> timeline.makespan_s
4.0
>>> [(span.device, span.start_s, span.end_s) for span in timeline.compute]
[('cpu', 0.0, 3.0), ('npu', 0.0, 2.0), ('cpu', 3.0, 4.0)]

The function :func:`simulate` shadows the module of its name as an attribute of this package; ``from hetsim.sim.simulate
import ...`` still means the module. Pictures are left to ``hetsim.pictures``, as importing matplotlib takes long.
"""

from hetsim.analysis.emulated import emulated_problem
from hetsim.analysis.scenario import Scenario, parse_scenario
from hetsim.core.dataflow import check_plan
from hetsim.core.errors import (
    DeviceError,
    HetsimError,
    ModelError,
    PlanError,
    PlatformError,
    ProblemError,
    ProfileError,
)
from hetsim.core.graph import Graph, Op, Tensor
from hetsim.core.load import Load
from hetsim.core.plan import Plan, Segment
from hetsim.core.platform import Device, Host, Link, Memory, Platform
from hetsim.core.problem import Latency, LatencyFunction, Problem
from hetsim.core.timeline import Span, Timeline
from hetsim.costs.problems import make_problem, plan_problem
from hetsim.costs.profile import Profile
from hetsim.costs.profile_file import ProfileFile, load_profile
from hetsim.io.plan_file import load_plan, save_plan
from hetsim.io.platform_file import load_platform
from hetsim.io.problem_file import load_problem, save_problem
from hetsim.io.wfcommons import load_workflow
from hetsim.models.onnx_import import Model, import_model, load_model, random_inputs
from hetsim.models.reference import evaluate
from hetsim.models.zoo import zoo_names
from hetsim.sim.check import check_timeline
from hetsim.sim.simulate import makespan_s, simulate

__all__ = [
    "Device",
    "DeviceError",
    "Graph",
    "HetsimError",
    "Host",
    "Latency",
    "LatencyFunction",
    "Link",
    "Load",
    "Memory",
    "Model",
    "ModelError",
    "Op",
    "Plan",
    "PlanError",
    "Platform",
    "PlatformError",
    "Problem",
    "ProblemError",
    "Profile",
    "ProfileError",
    "ProfileFile",
    "Segment",
    "Span",
    "Tensor",
    "Timeline",
    "Scenario",
    "emulated_problem",
    "check_plan",
    "check_timeline",
    "evaluate",
    "import_model",
    "load_model",
    "load_plan",
    "load_platform",
    "load_problem",
    "load_profile",
    "load_workflow",
    "make_problem",
    "parse_scenario",
    "plan_problem",
    "makespan_s",
    "random_inputs",
    "save_plan",
    "save_problem",
    "simulate",
    "zoo_names",
]
