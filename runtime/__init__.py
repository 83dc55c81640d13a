"""Devices as processes: load plans, execute them, measure segments.

A :class:`Runtime` keeps one worker process for each device of a platform. :meth:`Runtime.load` compiles a plan on the
devices and returns a :class:`Session`. A session takes requests one by one (``session.run``), several at once
(``await session.infer``) or as a load (:func:`serve`). Each request returns an :class:`Inference`: outputs, latency,
and the start and end of each segment. Executing needs Linux; importing this package does not.

Rooms: :mod:`~hetsim.runtime.worker` is the process behind a device, :mod:`~hetsim.runtime.backends` the engines,
:mod:`~hetsim.runtime.machine` what is known of this machine, :mod:`~hetsim.runtime.measure` profiling and calibration.

>>> from hetsim import load_model, load_platform, load_plan, random_inputs  # doctest: +SKIP
>>> model = load_model("squeezenet")  # doctest: +SKIP
>>> with Runtime(load_platform()) as devices, devices.load(model, load_plan("plan.json")) as session:  # doctest: +SKIP
...     result = session.run(random_inputs(model))
"""

from typing import TYPE_CHECKING

from hetsim.core.interface.lazy import lazy_names

if TYPE_CHECKING:
    from hetsim.runtime.inference import Inference as Inference
    from hetsim.runtime.runtime import Runtime as Runtime
    from hetsim.runtime.serving.load import Served as Served
    from hetsim.runtime.serving.load import serve as serve
    from hetsim.runtime.session import Session as Session
    from hetsim.runtime.worker_pool import RefusedError as RefusedError

_MODULES = {
    "Inference": "hetsim.runtime.inference",
    "RefusedError": "hetsim.runtime.worker_pool",
    "Runtime": "hetsim.runtime.runtime",
    "Served": "hetsim.runtime.serving.load",
    "Session": "hetsim.runtime.session",
    "serve": "hetsim.runtime.serving.load",
}

__all__ = list(_MODULES)

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_names(__name__, _MODULES)
