"""Plan one inference over a CPU and NPUs working together: measure, search, simulate, execute, compare.

Everything is a function of this package, and ``hetsim`` on the command line calls the same functions:

- :func:`load_model`, :func:`load_platform`, :func:`load_problem` and others read values from files;
- :func:`profile` measures a model on the devices, :func:`plan` plans it, :func:`simulate` gives the timeline of a plan;
- :func:`run` executes a plan, :func:`compare` compares its execution with its simulation, :func:`explain` says what
  would shorten it; :func:`verify` finds the operator at which a device begins to deviate;
- :func:`import_profile` makes a hypothetical device of a profile that a vendor's tool wrote;
- :func:`tune` does all of that and finds the plan that measures best; :func:`export` writes a plan as files that run
  without hetsim.

A model on a platform whose devices are known by their data sheets needs no measurements:

>>> import hetsim
>>> solution = hetsim.plan("squeezenet", platform="phone", scheduler="heft")
>>> hetsim.simulate("squeezenet", solution.plan, platform="phone").makespan_s == solution.makespan_s
True

No ONNX and no engine is needed where costs come from a table. Three operators, the last of which waits for both
others; the NPU hands over in half a second:

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

Each name is imported when it is first used: ``import hetsim`` takes no time, and a task graph loads no ONNX. Pictures
are in :mod:`hetsim.analysis.plots`.
"""

from typing import TYPE_CHECKING

from hetsim.core.interface.lazy import lazy_names

# A new name takes a line in each of the two blocks below; a test holds them equal.
if TYPE_CHECKING:
    from hetsim import analysis as analysis
    from hetsim import core as core
    from hetsim import costs as costs
    from hetsim import io as io
    from hetsim import models as models
    from hetsim import runtime as runtime
    from hetsim import scheduler as scheduler
    from hetsim import sim as sim
    from hetsim import tuner as tuner
    from hetsim.analysis.emulated import emulated_problem as emulated_problem
    from hetsim.analysis.scenario import Scenario as Scenario
    from hetsim.analysis.scenario import parse_scenario as parse_scenario
    from hetsim.core.dataflow import check_plan as check_plan
    from hetsim.core.errors import DeviceError as DeviceError
    from hetsim.core.errors import HetsimError as HetsimError
    from hetsim.core.errors import ModelError as ModelError
    from hetsim.core.errors import PlanError as PlanError
    from hetsim.core.errors import PlatformError as PlatformError
    from hetsim.core.errors import ProblemError as ProblemError
    from hetsim.core.errors import ProfileError as ProfileError
    from hetsim.core.graph import Graph as Graph
    from hetsim.core.graph import Op as Op
    from hetsim.core.graph import Tensor as Tensor
    from hetsim.core.load import Load as Load
    from hetsim.core.plan import Plan as Plan
    from hetsim.core.plan import Segment as Segment
    from hetsim.core.platform import Calibration as Calibration
    from hetsim.core.platform import Device as Device
    from hetsim.core.platform import Host as Host
    from hetsim.core.platform import Link as Link
    from hetsim.core.platform import Memory as Memory
    from hetsim.core.platform import Platform as Platform
    from hetsim.core.problem import Latency as Latency
    from hetsim.core.problem import LatencyFunction as LatencyFunction
    from hetsim.core.problem import Problem as Problem
    from hetsim.core.timeline import Span as Span
    from hetsim.core.timeline import Timeline as Timeline
    from hetsim.costs.problems import make_problem as make_problem
    from hetsim.costs.problems import plan_problem as plan_problem
    from hetsim.costs.profile import Profile as Profile
    from hetsim.costs.profile_file import ProfileFile as ProfileFile
    from hetsim.costs.profile_file import load_profile as load_profile
    from hetsim.io.plan_file import load_plan as load_plan
    from hetsim.io.plan_file import save_plan as save_plan
    from hetsim.io.platform_file import load_platform as load_platform
    from hetsim.io.problem_file import load_problem as load_problem
    from hetsim.io.problem_file import save_problem as save_problem
    from hetsim.io.task_graphs.load import load_task_graph as load_task_graph
    from hetsim.io.task_graphs.wfcommons import load_workflow as load_workflow
    from hetsim.models.importer import import_model as import_model
    from hetsim.models.importer import load_model as load_model
    from hetsim.models.model import Model as Model
    from hetsim.models.model import random_inputs as random_inputs
    from hetsim.models.reference import evaluate as evaluate
    from hetsim.models.values.trust import Trust as Trust
    from hetsim.models.values.trust import parse_trust as parse_trust
    from hetsim.models.zoo import zoo_names as zoo_names
    from hetsim.runtime.measure.profiler import Effort as Effort
    from hetsim.sim.check import check_timeline as check_timeline
    from hetsim.sim.simulate import makespan_s as makespan_s
    from hetsim.tuner.api.compare import compare as compare
    from hetsim.tuner.api.explain import explain as explain
    from hetsim.tuner.api.export import export as export
    from hetsim.tuner.api.import_profile import import_profile as import_profile
    from hetsim.tuner.api.plan import plan as plan
    from hetsim.tuner.api.profile import profile as profile
    from hetsim.tuner.api.run import run as run
    from hetsim.tuner.api.simulate import simulate as simulate
    from hetsim.tuner.api.tune import tune as tune
    from hetsim.tuner.api.verify import verify as verify
    from hetsim.tuner.options import Options as Options
    from hetsim.tuner.options import Pace as Pace

_MODULES = {
    "Calibration": "hetsim.core.platform",
    "Device": "hetsim.core.platform",
    "DeviceError": "hetsim.core.errors",
    "Effort": "hetsim.runtime.measure.profiler",
    "Graph": "hetsim.core.graph",
    "HetsimError": "hetsim.core.errors",
    "Host": "hetsim.core.platform",
    "Latency": "hetsim.core.problem",
    "LatencyFunction": "hetsim.core.problem",
    "Link": "hetsim.core.platform",
    "Load": "hetsim.core.load",
    "Memory": "hetsim.core.platform",
    "Model": "hetsim.models.model",
    "ModelError": "hetsim.core.errors",
    "Op": "hetsim.core.graph",
    "Options": "hetsim.tuner.options",
    "Pace": "hetsim.tuner.options",
    "Plan": "hetsim.core.plan",
    "PlanError": "hetsim.core.errors",
    "Platform": "hetsim.core.platform",
    "PlatformError": "hetsim.core.errors",
    "Problem": "hetsim.core.problem",
    "ProblemError": "hetsim.core.errors",
    "Profile": "hetsim.costs.profile",
    "ProfileError": "hetsim.core.errors",
    "ProfileFile": "hetsim.costs.profile_file",
    "Scenario": "hetsim.analysis.scenario",
    "Segment": "hetsim.core.plan",
    "Span": "hetsim.core.timeline",
    "Tensor": "hetsim.core.graph",
    "Timeline": "hetsim.core.timeline",
    "Trust": "hetsim.models.values.trust",
    "check_plan": "hetsim.core.dataflow",
    "check_timeline": "hetsim.sim.check",
    "compare": "hetsim.tuner.api.compare",
    "emulated_problem": "hetsim.analysis.emulated",
    "evaluate": "hetsim.models.reference",
    "explain": "hetsim.tuner.api.explain",
    "export": "hetsim.tuner.api.export",
    "import_model": "hetsim.models.importer",
    "import_profile": "hetsim.tuner.api.import_profile",
    "load_model": "hetsim.models.importer",
    "load_plan": "hetsim.io.plan_file",
    "load_platform": "hetsim.io.platform_file",
    "load_problem": "hetsim.io.problem_file",
    "load_profile": "hetsim.costs.profile_file",
    "load_task_graph": "hetsim.io.task_graphs.load",
    "load_workflow": "hetsim.io.task_graphs.wfcommons",
    "make_problem": "hetsim.costs.problems",
    "makespan_s": "hetsim.sim.simulate",
    "parse_scenario": "hetsim.analysis.scenario",
    "parse_trust": "hetsim.models.values.trust",
    "plan": "hetsim.tuner.api.plan",
    "plan_problem": "hetsim.costs.problems",
    "profile": "hetsim.tuner.api.profile",
    "random_inputs": "hetsim.models.model",
    "run": "hetsim.tuner.api.run",
    "save_plan": "hetsim.io.plan_file",
    "save_problem": "hetsim.io.problem_file",
    "simulate": "hetsim.tuner.api.simulate",
    "tune": "hetsim.tuner.api.tune",
    "verify": "hetsim.tuner.api.verify",
    "zoo_names": "hetsim.models.zoo",
}
_ROOMS = ("analysis", "core", "costs", "io", "models", "runtime", "scheduler", "sim", "tuner")

__all__ = list(_MODULES)

if not TYPE_CHECKING:  # a module with __getattr__ would have any name for a type checker
    __getattr__, __dir__ = lazy_names(__name__, _MODULES, subpackages=_ROOMS)
