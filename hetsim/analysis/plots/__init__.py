"""Pictures of timelines, plans and experiments, as PNG files."""

from hetsim.analysis.plots.bars import Bar, Group, draw_bars
from hetsim.analysis.plots.comparison import draw_comparison
from hetsim.analysis.plots.curves import Curve, Mark, Measurement, draw_curves
from hetsim.analysis.plots.heat import draw_heat_map
from hetsim.analysis.plots.plans import Baseline, Comparison, PlanRow, ScatterRow, draw_plans, draw_scatter
from hetsim.analysis.plots.schedulers import Planned, draw_schedulers
from hetsim.analysis.plots.soak import Soaked, draw_soak
from hetsim.analysis.plots.speeds import SpeedRow, draw_speeds
from hetsim.analysis.plots.timelines import draw_timelines

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
