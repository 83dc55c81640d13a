"""What all pictures share: colours, sizes, the look of axes, and writing a figure to a file.

Figures are made without pyplot, so nothing global changes and nothing is left open.
"""

from __future__ import annotations

import io
import math
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from hetsim.io.files import write_atomically

# Okabe and Ito, "Color Universal Design" (2008): distinguishable with any common form of colour blindness.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8C7A00", "#6A51A3")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "h")
INK = "#222222"
MUTED = "#6B6B6B"
FAINT = "#E4E4E4"

TITLE_PT = 12.0
TEXT_PT = 9.5
SMALL_PT = 8.5
DOTS_PER_INCH = 160


def colour(index: int) -> str:
    """The palette's colour with that index, cyclically."""
    return PALETTE[index % len(PALETTE)]


def lighter(hex_colour: str, amount: float) -> tuple[float, float, float]:
    """The colour mixed with white; 0 leaves it, 1 is white."""
    channels = (int(hex_colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    red, green, blue = (channel + (1 - channel) * amount for channel in channels)
    return red, green, blue


def darker(hex_colour: str) -> tuple[float, float, float]:
    """The colour mixed with black, enough for text on white."""
    red, green, blue = (int(hex_colour[i : i + 2], 16) / 255 * 0.72 for i in (1, 3, 5))
    return red, green, blue


def new_figure(width_in: float, height_in: float) -> Figure:
    """An empty white figure of that size in inches."""
    figure = Figure(figsize=(width_in, height_in), dpi=DOTS_PER_INCH, facecolor="white")
    FigureCanvasAgg(figure)  # binds itself to the figure, whose texts can then be measured
    return figure


def title_figure(figure: Figure, title: str, *, left_in: float, subtitle: str = "") -> None:
    """Put a title, and a line below it, at the top left of the figure."""
    width_in, height_in = figure.get_size_inches()
    x = left_in / width_in
    figure.text(x, 1 - 0.16 / height_in, title, size=TITLE_PT, weight="bold", color=INK, va="top", parse_math=False)
    if subtitle:
        figure.text(x, 1 - 0.42 / height_in, subtitle, size=SMALL_PT, color=MUTED, va="top")


def style_axes(axes: Axes, *, grid: str = "both") -> None:
    """Remove what carries no data; ``grid`` is ``"x"``, ``"y"`` or ``"both"``."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color("#9A9A9A")
        axes.spines[side].set_linewidth(0.8)
    axes.tick_params(which="both", labelsize=TEXT_PT, color="#9A9A9A", labelcolor=INK, width=0.8, length=3.5)
    axes.set_axisbelow(True)
    axes.grid(True, axis="both" if grid == "both" else "x" if grid == "x" else "y", color=FAINT, linewidth=0.7)


def log_axis(axis: Axis, low: float, high: float) -> None:
    """Set ticks of a logarithmic axis to plain numbers, more of them for a smaller range."""
    decades = math.log10(high / low)
    subs = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0) if decades < 1.1 else (1.0, 2.0, 5.0) if decades < 2.5 else (1.0,)
    axis.set_major_locator(LogLocator(base=10, subs=subs, numticks=20))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


def text_width_in(text: str, size_pt: float = TEXT_PT) -> float:
    """Width of the drawn text, in inches."""
    figure = new_figure(1, 1)
    drawn: Text = figure.text(0, 0, text, size=size_pt)
    return float(drawn.get_window_extent().width / DOTS_PER_INCH)


def plain(text: str) -> str:
    """The text with dollar signs escaped, which would start a formula: names may have any character."""
    return text.replace("$", r"\$")


def signed_percent(ratio: float) -> str:
    """``0.0123`` as ``"+1.2 %"``, with a proper minus sign."""
    return f"{ratio:+.1%}".replace("%", " %").replace("-", "\N{MINUS SIGN}")


def save_figure(figure: Figure, path: Path) -> None:
    """Write the figure as PNG, atomically.

    Raises:
        OSError: If the file cannot be written.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DOTS_PER_INCH, facecolor="white", metadata={"Software": None})
    write_atomically(path, buffer.getvalue())
