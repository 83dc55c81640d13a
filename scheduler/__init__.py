"""One algorithm per file, each from a problem to a plan.

Two operators that need not wait for each other, on two devices, each of which is the faster one for one of them:

>>> from hetsim import Device, Graph, Latency, Op, Platform, Problem, Tensor, makespan_s
>>> graph = Graph(
...     name="pair",
...     ops=(
...         Op(name="left", kind="Conv", inputs=("x",), outputs=("l",)),
...         Op(name="right", kind="Conv", inputs=("x",), outputs=("r",)),
...     ),
...     tensors={name: Tensor(name, (1,)) for name in "xlr"},
...     inputs=("x",),
...     outputs=("l", "r"),
... )
>>> platform = Platform(name="desk", devices=tuple(Device(name=n, kind=n, backend="fake") for n in ("cpu", "npu")))
>>> seconds = {"cpu": {"left": 2.0, "right": 5.0}, "npu": {"left": 4.0, "right": 1.0}}
>>> def cost(device, ops):
...     return Latency(sum(seconds[device][op] for op in ops))
>>> problem = Problem(graph=graph, platform=platform, latency_function=cost)
>>> for name in scheduler_names(problem):
...     print(f"{name}: {makespan_s(problem, make_plan(name, problem))} s")
single:cpu: 7.0 s
single:npu: 5.0 s
type_based: 5.0 s
individual: 2.0 s
partition_tuner: 2.0 s
heft: 2.0 s
cpop: 2.0 s
peft: 2.0 s
ios: 2.0 s
genetic: 2.0 s
exact: 2.0 s
search: 2.0 s
splits: 2.0 s
"""

from typing import TYPE_CHECKING

from hetsim.core.interface.lazy import lazy_names

if TYPE_CHECKING:
    from hetsim.scheduler.effort import Effort as Effort
    from hetsim.scheduler.effort import Progress as Progress
    from hetsim.scheduler.registry import make_plan as make_plan
    from hetsim.scheduler.registry import scheduler_names as scheduler_names
    from hetsim.scheduler.registry import solve as solve
    from hetsim.scheduler.solution import Solution as Solution

_MODULES = {
    "Effort": "hetsim.scheduler.effort",
    "Progress": "hetsim.scheduler.effort",
    "Solution": "hetsim.scheduler.solution",
    "make_plan": "hetsim.scheduler.registry",
    "scheduler_names": "hetsim.scheduler.registry",
    "solve": "hetsim.scheduler.registry",
}

__all__ = list(_MODULES)

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_names(__name__, _MODULES)
