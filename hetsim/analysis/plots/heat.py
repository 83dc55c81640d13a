"""Values over two varied figures of a hypothetical machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.colors import LinearSegmentedColormap

from hetsim.analysis.plots import style

_CELL_IN = (0.72, 0.46)


def draw_heat_map(
    columns: Sequence[str],
    rows: Sequence[str],
    values: Sequence[Sequence[float]],
    path: Path,
    *,
    title: str,
    x_label: str,
    y_label: str,
    subtitle: str = "",
    largest: float | None = None,
    text: Callable[[float], str] = "{:.0f}".format,
) -> None:
    """Draw a value for each pair of a row and a column as a cell, darker where it is larger, as a PNG.

    Args:
        columns: Labels of the columns, from left to right.
        rows: Labels of the rows, from bottom to top.
        values: By row and column; 0 or more.
        path: The PNG file.
        title: Title of the figure.
        x_label: What the columns vary, with its unit.
        y_label: What the rows vary, with its unit.
        subtitle: Line below the title.
        largest: The value with the darkest colour, more than 0; larger values have it too. None stands for the largest
            value.
        text: From a value to the text in its cell.

    Raises:
        OSError: If the file cannot be written.
    """
    left_in, bottom_in, top_in = 1.1, 0.75, 0.85 if subtitle else 0.6
    panel_in = (_CELL_IN[0] * max(len(columns), 1), _CELL_IN[1] * max(len(rows), 1))
    width_in = left_in + max(panel_in[0] + 0.3, style.text_width_in(title, style.TITLE_PT) * 1.1)
    height_in = bottom_in + panel_in[1] + top_in
    figure = style.new_figure(width_in, height_in)
    style.title_figure(figure, title, left_in=0.25, subtitle=subtitle)
    axes = figure.add_axes((left_in / width_in, bottom_in / height_in, panel_in[0] / width_in, panel_in[1] / height_in))
    grid = np.array(values, dtype=float).reshape(len(rows), len(columns))
    most = (float(grid.max(initial=0.0)) or 1.0) if largest is None else largest
    colours = LinearSegmentedColormap.from_list("gain", ["#FFFFFF", style.PALETTE[0]])
    axes.imshow(grid, cmap=colours, vmin=0.0, vmax=most, origin="lower", aspect="auto")
    for y in range(len(rows)):
        for x in range(len(columns)):
            colour = "white" if grid[y, x] > 0.6 * most else style.INK
            axes.text(x, y, text(grid[y, x]), size=style.SMALL_PT, color=colour, ha="center", va="center")
    axes.set_xticks(range(len(columns)), columns, size=style.TEXT_PT)
    axes.set_yticks(range(len(rows)), rows, size=style.TEXT_PT)
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.set_xlabel(x_label, size=style.TEXT_PT, color=style.INK, labelpad=6)
    axes.set_ylabel(y_label, size=style.TEXT_PT, color=style.INK, labelpad=6)
    style.save_figure(figure, path)
