"""Pictures of throughput.csv: for each model, throughput over latency."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from experiments.throughput.study import ThroughputRow
from hetsim.tuner.serving.plots import Point, draw_points


def draw(rows: Sequence[ThroughputRow], out: Path) -> None:
    """Draw ``throughput_MODEL.png`` for each model from the rows alone.

    Raises:
        OSError: If a file cannot be written.
    """
    for model in dict.fromkeys(row.model for row in rows):
        own = [row for row in rows if row.model == model]
        points = [
            Point(
                label=row.contender,
                measured_per_s=row.measured_per_s,
                low_per_s=row.measured_low_per_s,
                high_per_s=row.measured_high_per_s,
                measured_p50_s=row.measured_p50_s,
                measured_p99_s=row.measured_p99_s,
                simulated_per_s=row.simulated_per_s,
                simulated_p50_s=row.simulated_p50_s,
            )
            for row in own
        ]
        title = f"{model} on {own[0].platform}"
        draw_points(points, out / f"throughput_{model}.png", title=title, bound_per_s=own[0].bound_per_s)
