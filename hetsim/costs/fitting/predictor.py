"""Predicted times of segments without measurements on one device, each with its standard error.

The time of a segment is the device's launch cost and the sum of its operators' terms
(:mod:`hetsim.costs.fitting.neighbourhood`), each an unknown coefficient times a known value. All coefficients are
fitted together to all measured segments by Bayesian linear regression: every coefficient has a normal prior, every
measurement a normal error. This is ridge regression with a penalty for each coefficient. So a measured segment
determines another one as far as operators have the same neighbourhood in both: a segment that lacks one operator of a
measured one is predicted mainly from that one, and a segment that resembles no measured one from its operators' kinds.

C. E. Rasmussen, C. K. I. Williams, "Gaussian Processes for Machine Learning", MIT Press, 2006: section 2.1.2 for the
fit as it is done here, through the measurements' covariance; equations 5.10 to 5.12 for leaving one out.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hetsim.core.graph import Graph
from hetsim.costs.fitting.neighbourhood import RADII, Neighbourhood, Term

_MISFIT = 0.03
"""Standard error of a segment's measured time against the sum of its terms, as a fraction of the time."""
_MISFIT_S = 2e-6
"""The same in seconds; the two are added."""
MIN_LEFT_OUT = 8
"""Standard errors are scaled to the observed leave-one-out errors if there are at least this many."""
_LEAST = 0.1
"""The lowest prediction, as a fraction of the sum of the operators' times alone."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """The prediction of a measured segment from all other measurements.

    Attributes:
        ops: The segment.
        measured_s: Its measured time.
        predicted_s: The prediction.
        error_s: The standard error of the prediction.
    """

    ops: tuple[str, ...]
    measured_s: float
    predicted_s: float
    error_s: float

    @property
    def relative_error(self) -> float:
        """The prediction over the measured time, less 1."""
        return self.predicted_s / self.measured_s - 1


class Predictor:
    """Predicts times of segments on one device from the segments measured there.

    Args:
        graph: The model's graph.
        measured_s: By measured segment, its time in seconds; at least one.
        launch_s: The device's launch cost in seconds.
    """

    def __init__(self, graph: Graph, measured_s: Mapping[tuple[str, ...], float], launch_s: float = 0.0) -> None:
        self._graph = graph
        self._launch_s = launch_s
        self._segments = tuple(measured_s)
        self._measured_s = np.array([measured_s[ops] for ops in self._segments])
        self._alone_s = _alone_s(graph, measured_s)
        self._singly_s = {op: measured_s.get((op,), math.inf) for op in self._alone_s}
        self._slower = tuple(self._slower_together(measured_s))
        self._neighbourhood = Neighbourhood(graph, self._alone_s)
        self._near = self._neighbourhood.near[RADII[-1]]
        self._column: dict[Hashable, int] = {}
        self._mean: list[float] = []
        self._variance: list[float] = []
        self._summands: dict[tuple[int, int], float] = {}  # by operator and neighbourhood
        self._parts: dict[int, dict[tuple[int, int], float]] = {radius: {} for radius in RADII}
        self._fit()

    def can_predict(self, ops: tuple[str, ...]) -> bool:
        """Whether each of the operators was measured, alone or in a larger segment."""
        return all(op in self._alone_s for op in ops)

    def seconds(self, ops: tuple[str, ...]) -> float:
        """The predicted time of the segment in seconds.

        The prediction is at least a tenth of the sum of its operators' times alone. If each operator was measured
        alone, it is at most that sum: a segment launches once and keeps its inner tensors in the engine's own layout.
        The upper bound is raised by as much as a measured part of the segment exceeded the sum of its operators, as
        where an engine chose a slow kernel.

        Args:
            ops: Operators in topological order, each :meth:`can_predict`.
        """
        position, near, summands = self._graph.position, self._near, self._summands
        mask = self._graph.mask(ops)
        total_s = self._launch_s
        for op in ops:
            i = position[op]
            key = (i, mask & near[i])
            found = summands.get(key)
            if found is None:
                found = summands[key] = self._summand_s(*key)
            total_s += found
        return self._within_bounds(ops, total_s)

    def error_s(self, ops: tuple[str, ...]) -> float:
        """The standard error of :meth:`seconds`, from the fit and from the misfit of the segment itself.

        Takes about a millisecond with a thousand measured segments; :meth:`seconds` takes microseconds.
        """
        with_measured = np.zeros(len(self._segments))
        prior = 0.0
        for key, (value, sd) in self._merged(ops).items():
            prior += (value * sd) ** 2
            if key in self._column:
                column = self._column[key]
                rows, values = self._rows[column], self._values[column]
                with_measured[rows] += value * sd**2 * values
        fitted = prior - float(with_measured @ self._inverse @ with_measured)
        misfit_s = _MISFIT * self.seconds(ops) + _MISFIT_S
        return math.sqrt(self._scale * (max(fitted, 0.0) + misfit_s**2))

    def left_out(self) -> tuple[LeftOut, ...]:
        """The prediction of each measured segment of several operators from all other measurements.

        Segments of one operator are left out: they are always measured, and so never predicted.
        """
        diagonal = np.diag(self._inverse)
        predicted_s = self._measured_s - self._weights / diagonal
        errors_s = np.sqrt(self._scale / diagonal)
        return tuple(
            LeftOut(
                ops=ops,
                measured_s=float(measured),
                predicted_s=self._within_bounds(ops, float(predicted)),
                error_s=float(error),
            )
            for ops, measured, predicted, error in zip(
                self._segments, self._measured_s, predicted_s, errors_s, strict=True
            )
            if len(ops) > 1
        )

    def _within_bounds(self, ops: tuple[str, ...], seconds: float) -> float:
        least_s = _LEAST * sum(self._alone_s[op] for op in ops)
        most_s = sum(self._singly_s[op] for op in ops)
        if seconds > most_s and self._slower:
            mask = self._graph.mask(ops)
            most_s += max((more_s for part, more_s in self._slower if part & ~mask == 0 and part != mask), default=0.0)
        return min(max(seconds, least_s), most_s)

    def _slower_together(self, measured_s: Mapping[tuple[str, ...], float]) -> Iterator[tuple[int, float]]:
        """Masks of the segments that take longer than the sum of their operators, beyond noise, and how much longer."""
        for ops, seconds in measured_s.items():
            more_s = seconds - sum(self._singly_s[op] for op in ops)
            if more_s > _MISFIT * seconds + _MISFIT_S:
                yield self._graph.mask(ops), more_s

    def _fit(self) -> None:
        """Fit all coefficients, by their posterior means, and prepare standard errors."""
        rows, columns, values = self._design()
        count = np.bincount(columns, minlength=len(self._mean))
        mean, variance = np.array(self._mean), np.array(self._variance)
        expected_s = np.bincount(rows, values * mean[columns], len(self._segments)) + self._launch_s
        own = count[columns] == 1  # coefficients of one measured segment alone
        noise = (_MISFIT * self._measured_s + _MISFIT_S) ** 2
        noise += np.bincount(rows[own], (values**2 * variance[columns])[own], len(self._segments))
        shared = np.flatnonzero(count > 1)
        place = np.full(len(self._mean), -1)
        place[shared] = np.arange(len(shared))
        design = np.zeros((len(self._segments), len(shared)))
        design[rows[~own], place[columns[~own]]] = (values * np.sqrt(variance[columns]))[~own]
        residual_s = self._measured_s - expected_s
        design /= np.sqrt(noise)[:, None]  # so that nothing depends on the range of times
        self._inverse = np.linalg.inv(design @ design.T + np.eye(len(noise))) / np.sqrt(np.outer(noise, noise))
        self._weights = self._inverse @ residual_s
        self._scale = 1.0
        left_out = self.left_out()
        if len(left_out) >= MIN_LEFT_OUT:
            self._scale = float(np.mean([((one.predicted_s - one.measured_s) / one.error_s) ** 2 for one in left_out]))
        fitted = mean + variance * np.bincount(columns, values * self._weights[rows], len(mean))
        self._coefficients = fitted.tolist()
        order = np.argsort(columns, kind="stable")
        ends = np.cumsum(count)[:-1]
        self._rows = np.split(rows[order], ends)
        self._values = np.split(values[order], ends)

    def _design(self) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], Floats]:
        """Segment, coefficient and value of all terms of measured segments; gives the coefficients their numbers."""
        rows: list[int] = []
        columns: list[int] = []
        values: list[float] = []
        for row, ops in enumerate(self._segments):
            for key, (value, _) in self._merged(ops, enter=True).items():
                rows.append(row)
                columns.append(self._column[key])
                values.append(value)
        return np.array(rows, np.intp), np.array(columns, np.intp), np.array(values)

    def _merged(self, ops: tuple[str, ...], *, enter: bool = False) -> dict[Hashable, tuple[float, float]]:
        """By coefficient, the sum of the values that a segment multiplies it with, and its prior standard deviation."""
        mask = self._graph.mask(ops)
        merged: dict[Hashable, tuple[float, float]] = {}
        for op in ops:
            i = self._graph.position[op]
            for term in (term for radius in RADII for term in self._neighbourhood.terms(i, mask, radius)):
                if enter and term.key not in self._column:
                    self._enter(term)
                merged[term.key] = (merged.get(term.key, (0.0,))[0] + term.value, term.sd)
        return merged

    def _enter(self, term: Term) -> None:
        self._column[term.key] = len(self._mean)
        self._mean.append(term.mean)
        self._variance.append(term.sd**2)

    def _summand_s(self, i: int, mask: int) -> float:
        """The summand of operator ``i`` in this neighbourhood, in seconds."""
        total_s = 0.0
        for radius, parts in self._parts.items():
            key = (i, mask & self._neighbourhood.near[radius][i])
            found = parts.get(key)
            if found is None:
                found = parts[key] = self._part_s(*key, radius)
            total_s += found
        return total_s

    def _part_s(self, i: int, mask: int, radius: int) -> float:
        """The part of the summand from terms of one radius; coefficients without data keep their prior means."""
        total_s = 0.0
        for term in self._neighbourhood.terms(i, mask, radius):
            column = self._column.get(term.key)
            total_s += term.value * (term.mean if column is None else self._coefficients[column])
        return total_s


def _alone_s(graph: Graph, measured_s: Mapping[tuple[str, ...], float]) -> dict[str, float]:
    """By operator, its time alone; without a measurement of that, the least of its equal shares of segments."""
    found: dict[str, float] = {}
    for ops, seconds in measured_s.items():
        if len(ops) > 1:
            for op in ops:
                found[op] = min(found.get(op, math.inf), seconds / len(ops))
    found |= {ops[0]: seconds for ops, seconds in measured_s.items() if len(ops) == 1}
    return {op.name: found[op.name] for op in graph.ops if op.name in found}
