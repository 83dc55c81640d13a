"""The closed loop: profile, plan, measure what was guessed, execute, and keep the plan that measured best.

``tuner.tune(model, platform, folder)`` does what ``hetsim tune`` does and returns the :class:`Outcome`. The function
shadows the module of its name as an attribute; ``from tuner.tune import ...`` still means the module.
"""

from runtime.profiler import Effort
from tuner.finals import Execution, Pace, execute
from tuner.progress import OnScreen, Silent, Stages
from tuner.report import Outcome, PlanOutcome
from tuner.tune import Options, tune

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
