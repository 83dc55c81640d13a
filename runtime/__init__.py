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

from hetsim.runtime.devices import RefusedError, Runtime
from hetsim.runtime.inference import Inference
from hetsim.runtime.serving import Served, serve
from hetsim.runtime.session import Session

__all__ = ["Inference", "RefusedError", "Runtime", "Served", "Session", "serve"]
