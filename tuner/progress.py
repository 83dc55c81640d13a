"""How long work shows where it is: a bar with the time left on a terminal, or nothing at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.console import Console

Report = Callable[[float, str], None]
"""Receives how much of a stage is done, from 0 to 1, and what comes next."""


class Stages(Protocol):
    """Where a long run announces its stages."""

    def stage(self, title: str) -> AbstractContextManager[Report]:
        """A context for a stage; the function that it yields reports the progress of the stage."""
        ...

    def say(self, description: str) -> None:
        """A line that stays on the screen."""
        ...


class Silent:
    """Shows nothing: for callers from Python."""

    def stage(self, title: str) -> AbstractContextManager[Report]:  # noqa: ARG002
        """Nothing is shown."""
        return nullcontext(lambda _done, _text: None)

    def say(self, description: str) -> None:
        """Nothing is shown."""


class OnScreen:
    """A bar for each stage, with elapsed and remaining time; one line per stage if the output is not a terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def stage(self, title: str) -> Iterator[Report]:
        """A bar that stays until the stage ends."""
        if not self._console.is_terminal:
            self.say(f"{title} ...")
            yield lambda _done, _text: None
            return
        from rich.progress import (
            BarColumn,
            Progress,
            TaskProgressColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[what]}", style="dim"),
        )
        # Redrawn rarely, since drawing takes time on the cores of the devices.
        with Progress(*columns, console=self._console, refresh_per_second=2) as bar:
            task = bar.add_task(title, total=1.0, what="")
            yield lambda done, text: bar.update(task, completed=done, what=text)
            bar.update(task, completed=1.0, what="")

    def say(self, description: str) -> None:
        """A line on the console."""
        self._console.print(description, markup=False, highlight=False, soft_wrap=True)
