"""What pictures show, read from the figures themselves: axes, labels and the number of marks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.container import BarContainer
from matplotlib.figure import Figure

from hetsim.analysis.plots import style


@dataclass(frozen=True, slots=True)
class DrawnAxes:
    """One pair of axes of a figure.

    Attributes:
        x_label: Label of the horizontal axis, or empty.
        y_label: Label of the vertical axis, or empty.
        texts: Titles, legend entries, tick labels and annotations; not empty.
        num_points: Markers: points of scatter plots, and of lines that have a marker.
        num_bars: Bars.
        num_lines: Lines of at least two points.
        num_cells: Cells of heat maps.
    """

    x_label: str
    y_label: str
    texts: tuple[str, ...]
    num_points: int
    num_bars: int
    num_lines: int
    num_cells: int


class Pictures:
    """Figures by the file that they were written to."""

    def __init__(self) -> None:
        self._figures: dict[Path, tuple[DrawnAxes, ...]] = {}

    def add(self, figure: Figure, path: Path) -> None:
        """Remember what a figure shows."""
        self._figures[path.resolve()] = drawn_axes(figure)

    def axes(self, path: Path) -> tuple[DrawnAxes, ...]:
        """The axes of the picture that was written to a path last."""
        assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
        return self._figures[path.resolve()]

    def labels(self, path: Path) -> tuple[str, ...]:
        """All labels of its axes, without empty ones."""
        return tuple(label for axes in self.axes(path) for label in (axes.x_label, axes.y_label) if label)

    def texts(self, path: Path) -> str:
        """Every text in it, one a line."""
        return "\n".join(text for axes in self.axes(path) for text in axes.texts)


@contextmanager
def recorded_pictures() -> Iterator[Pictures]:
    """Pictures that are written while the context lasts."""
    pictures, save_figure = Pictures(), style.save_figure

    def save_and_remember(figure: Figure, path: Path) -> None:
        save_figure(figure, path)
        pictures.add(figure, path)

    style.save_figure = save_and_remember
    try:
        yield pictures
    finally:
        style.save_figure = save_figure


def drawn_axes(figure: Figure) -> tuple[DrawnAxes, ...]:
    """What the visible axes of a figure show."""
    return tuple(_read(axes) for axes in figure.axes if axes.get_visible())


def legend_of(figure: Figure) -> tuple[str, ...]:
    """The entries of a figure's own legends."""
    return tuple(text.get_text() for legend in figure.legends for text in legend.get_texts())


def _read(axes: Axes) -> DrawnAxes:
    lines = axes.get_lines()
    scatters = [one for one in axes.collections if isinstance(one, PathCollection)]
    marked = [line for line in lines if line.get_marker() not in ("", "None", None)]
    legend = axes.get_legend()
    parts = [axes.title, *axes.texts, *axes.get_xticklabels(), *axes.get_yticklabels()]
    parts += [] if legend is None else legend.get_texts()
    parts += axes.figure.texts if axes.figure is not None else []
    return DrawnAxes(
        x_label=axes.get_xlabel(),
        y_label=axes.get_ylabel(),
        texts=tuple(part.get_text() for part in parts if part.get_text()),
        num_points=sum(len(one.get_offsets()) for one in scatters) + sum(len(line.get_xdata()) for line in marked),
        num_bars=sum(len(one) for one in axes.containers if isinstance(one, BarContainer)),
        num_lines=sum(len(line.get_xdata()) > 1 for line in lines),
        num_cells=sum(image.get_array().size for image in axes.images),
    )
