"""The closed loop: profile, plan, measure what was guessed, execute, and keep the plan that measured best.

``tuner.tune(model, platform, folder)`` does what ``hetsim tune`` does and returns the :class:`Outcome`. The function
shadows the module of its name as an attribute; ``from hetsim.tuner.tune import ...`` still means the module.
"""

from hetsim.runtime.measure.profiler import Effort
from hetsim.tuner.progress import OnScreen, Silent, Stages
from hetsim.tuner.report.outcome import Outcome, PlanOutcome
from hetsim.tuner.steps.final_measurement import Execution, Pace, execute
from hetsim.tuner.tune import Options, tune

__all__ = [
    "Effort",
    "Execution",
    "OnScreen",
    "Options",
    "Outcome",
    "Pace",
    "PlanOutcome",
    "Silent",
    "Stages",
    "execute",
    "tune",
]
