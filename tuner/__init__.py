"""The closed loop: profile, plan, measure what was guessed, execute, and keep the plan that measured best.

``tuner.tune(model, platform, folder)`` does what ``hetsim tune`` does and returns the :class:`Outcome`. As an
attribute, ``tune`` is the function; ``from hetsim.tuner.tune import ...`` means the module.
"""

from typing import TYPE_CHECKING

from hetsim.core.lazy import lazy_names

if TYPE_CHECKING:
    from hetsim.runtime.measure.profiler import Effort as Effort
    from hetsim.tuner.progress import OnScreen as OnScreen
    from hetsim.tuner.progress import Silent as Silent
    from hetsim.tuner.progress import Stages as Stages
    from hetsim.tuner.report.outcome import Outcome as Outcome
    from hetsim.tuner.report.outcome import PlanOutcome as PlanOutcome
    from hetsim.tuner.steps.final_measurement import Execution as Execution
    from hetsim.tuner.steps.final_measurement import Pace as Pace
    from hetsim.tuner.steps.final_measurement import execute as execute
    from hetsim.tuner.tune import Options as Options
    from hetsim.tuner.tune import tune as tune

_MODULES = {
    "Effort": "hetsim.runtime.measure.profiler",
    "Execution": "hetsim.tuner.steps.final_measurement",
    "OnScreen": "hetsim.tuner.progress",
    "Options": "hetsim.tuner.tune",
    "Outcome": "hetsim.tuner.report.outcome",
    "Pace": "hetsim.tuner.steps.final_measurement",
    "PlanOutcome": "hetsim.tuner.report.outcome",
    "Silent": "hetsim.tuner.progress",
    "Stages": "hetsim.tuner.progress",
    "execute": "hetsim.tuner.steps.final_measurement",
    "tune": "hetsim.tuner.tune",
}

__all__ = list(_MODULES)

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_names(__name__, _MODULES)
