"""From a model to the plan that measures best: calibrate, profile, propose, measure, judge, write; the command line."""

from typing import TYPE_CHECKING

from hetsim.core.interface.lazy import lazy_names

if TYPE_CHECKING:
    from hetsim.runtime.measure.profiler import Effort as Effort
    from hetsim.tuner.options import Options as Options
    from hetsim.tuner.options import Pace as Pace
    from hetsim.tuner.pipeline import tune as tune
    from hetsim.tuner.progress import OnScreen as OnScreen
    from hetsim.tuner.progress import Silent as Silent
    from hetsim.tuner.progress import Stages as Stages
    from hetsim.tuner.report.outcome import Outcome as Outcome
    from hetsim.tuner.report.outcome import PlanOutcome as PlanOutcome
    from hetsim.tuner.steps.final_measurement import Execution as Execution
    from hetsim.tuner.steps.final_measurement import execute as execute

_MODULES = {
    "Effort": "hetsim.runtime.measure.profiler",
    "Execution": "hetsim.tuner.steps.final_measurement",
    "OnScreen": "hetsim.tuner.progress",
    "Options": "hetsim.tuner.options",
    "Outcome": "hetsim.tuner.report.outcome",
    "Pace": "hetsim.tuner.options",
    "PlanOutcome": "hetsim.tuner.report.outcome",
    "Silent": "hetsim.tuner.progress",
    "Stages": "hetsim.tuner.progress",
    "execute": "hetsim.tuner.steps.final_measurement",
    "tune": "hetsim.tuner.pipeline",
}

__all__ = list(_MODULES)

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_names(__name__, _MODULES)
