"""Devices as processes: load plans, execute them, measure segments.

A :class:`Runtime` keeps one worker process for each device of a platform; :meth:`Runtime.load` compiles a plan on them
and gives a :class:`Session`, which takes requests one by one (``session.run``), several at once
(``await session.infer``) or a whole load (:func:`serve`). Each request gives an :class:`Inference`: outputs, latency,
and what happened when.

>>> from hetsim import load_model, load_platform, load_plan, random_inputs  # doctest: +SKIP
>>> model = load_model("squeezenet")  # doctest: +SKIP
>>> with Runtime(load_platform()) as devices, devices.load(model, load_plan("plan.json")) as session:  # doctest: +SKIP
...     result = session.run(random_inputs(model))
"""

from typing import TYPE_CHECKING

from hetsim.core.lazy import lazy_names

if TYPE_CHECKING:
    from hetsim.runtime.devices import RefusedError as RefusedError
    from hetsim.runtime.devices import Runtime as Runtime
    from hetsim.runtime.inference import Inference as Inference
    from hetsim.runtime.serving import Served as Served
    from hetsim.runtime.serving import serve as serve
    from hetsim.runtime.session import Session as Session

_MODULES = {
    "Inference": "hetsim.runtime.inference",
    "RefusedError": "hetsim.runtime.devices",
    "Runtime": "hetsim.runtime.devices",
    "Served": "hetsim.runtime.serving",
    "Session": "hetsim.runtime.session",
    "serve": "hetsim.runtime.serving",
}

__all__ = list(_MODULES)

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_names(__name__, _MODULES)
