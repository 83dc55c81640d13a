"""Pictures of timelines, plans and experiments, as PNG files."""

from hetsim.pictures.bars import Bar, Group, draw_bars
from hetsim.pictures.comparison import draw_comparison
from hetsim.pictures.curves import Curve, Mark, Measurement, draw_curves
from hetsim.pictures.heat import draw_heat_map
from hetsim.pictures.plans import Baseline, Comparison, PlanRow, ScatterRow, draw_plans, draw_scatter
from hetsim.pictures.schedulers import Planned, draw_schedulers
from hetsim.pictures.soak import Soaked, draw_soak
from hetsim.pictures.speeds import SpeedRow, draw_speeds
from hetsim.pictures.timelines import draw_timelines

__all__ = [
    "Bar",
    "Baseline",
    "Comparison",
    "Curve",
    "Group",
    "Mark",
    "Measurement",
    "PlanRow",
    "Planned",
    "ScatterRow",
    "Soaked",
    "draw_bars",
    "SpeedRow",
    "draw_comparison",
    "draw_curves",
    "draw_heat_map",
    "draw_plans",
    "draw_scatter",
    "draw_schedulers",
    "draw_soak",
    "draw_speeds",
    "draw_timelines",
]
