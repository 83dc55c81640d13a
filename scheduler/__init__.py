"""One algorithm per file, each from a problem to a plan."""

from scheduler.registry import Effort, make_plan, scheduler_names
from scheduler.search import Progress

__all__ = ["Effort", "Progress", "make_plan", "scheduler_names"]
