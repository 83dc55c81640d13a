"""Times of segments that nobody measured, on one device, each with an error bar.

A segment takes the device's launch cost and the sum of its operators' terms
(:mod:`hetsim.costs.fitting.neighbourhood`), each an unknown coefficient times something known. All coefficients are
fitted at once to all segments that were measured, by Bayesian linear regression: every coefficient has a normal prior,
every measurement a normal error. That is ridge regression with a penalty of its own for each coefficient. So what was
measured of one segment tells of another as far as operators have the same surroundings in both: a segment that lacks
one operator of a measured one is predicted from that one, and one that nothing measured resembles from what is common
to its operators' kinds.

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
"""How far a segment may be from the sum of its terms, and its measurement from its time: this part of it, and"""
_MISFIT_S = 2e-6
MIN_LEFT_OUT = 8
"""Error bars are scaled to what leaving one out shows once so many segments can be left out."""
_LEAST = 0.1
"""No segment is predicted to take less than this part of what its operators take one by one."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A measured segment as it is predicted from all others.

    Attributes:
        ops: The segment.
        measured_s: What it takes.
        predicted_s: What the others say.
        error_s: The error bar of that, one standard deviation.
    """

    ops: tuple[str, ...]
    measured_s: float
    predicted_s: float
    error_s: float

    @property
    def relative_error(self) -> float:
        """How much longer the prediction is, as a fraction; negative where it is shorter."""
        return self.predicted_s / self.measured_s - 1


class Predictor:
    """Predicts segments of one device from those that were measured there.

    Args:
        graph: The model's graph.
        measured_s: What each measured segment takes, in seconds; at least one.
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
        self._summands: dict[tuple[int, int], float] = {}  # by operator and surroundings
        self._parts: dict[int, dict[tuple[int, int], float]] = {radius: {} for radius in RADII}
        self._fit()

    def can_predict(self, ops: tuple[str, ...]) -> bool:
        """Whether each of the operators was measured, alone or with others."""
        return all(op in self._alone_s for op in ops)

    def seconds(self, ops: tuple[str, ...]) -> float:
        """What the segment is expected to take.

        Never below a tenth of what its operators take one by one, and never more than all of that where each was
        measured by itself: one unit launches once, and need not bring back what stays inside. Where a part of it was
        seen to take longer than its operators one by one, as an engine may choose a slow kernel, so much more may it.

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
        """How far :meth:`seconds` may well be off, one standard deviation: from the fit, and from the segment itself.

        Takes about a millisecond where a thousand segments were measured; :meth:`seconds` takes microseconds.
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
        """Each measured segment of several operators, predicted from all other measurements.

        Those of single operators are always measured, so nobody needs them predicted; they set the scale of the rest.
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
        """Masks of the segments that take longer than their operators one by one, beyond noise, and how much longer."""
        for ops, seconds in measured_s.items():
            more_s = seconds - sum(self._singly_s[op] for op in ops)
            if more_s > _MISFIT * seconds + _MISFIT_S:
                yield self._graph.mask(ops), more_s

    def _fit(self) -> None:
        """All coefficients by their posterior means, and what error bars need."""
        rows, columns, values = self._design()
        count = np.bincount(columns, minlength=len(self._mean))
        mean, variance = np.array(self._mean), np.array(self._variance)
        expected_s = np.bincount(rows, values * mean[columns], len(self._segments)) + self._launch_s
        own = count[columns] == 1  # such a coefficient ties its segment to no other
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
        """By coefficient, what a segment multiplies it with in all, and its prior standard deviation."""
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
        """What operator ``i`` adds in these surroundings."""
        total_s = 0.0
        for radius, parts in self._parts.items():
            key = (i, mask & self._neighbourhood.near[radius][i])
            found = parts.get(key)
            if found is None:
                found = parts[key] = self._part_s(*key, radius)
            total_s += found
        return total_s

    def _part_s(self, i: int, mask: int, radius: int) -> float:
        """The part of it that rests on what is within a radius; coefficients of no measurement are as expected."""
        total_s = 0.0
        for term in self._neighbourhood.terms(i, mask, radius):
            column = self._column.get(term.key)
            total_s += term.value * (term.mean if column is None else self._coefficients[column])
        return total_s


def _alone_s(graph: Graph, measured_s: Mapping[tuple[str, ...], float]) -> dict[str, float]:
    """What each operator takes alone; where nobody measured that, its least equal share of a measured segment."""
    found: dict[str, float] = {}
    for ops, seconds in measured_s.items():
        if len(ops) > 1:
            for op in ops:
                found[op] = min(found.get(op, math.inf), seconds / len(ops))
    found |= {ops[0]: seconds for ops, seconds in measured_s.items() if len(ops) == 1}
    return {op.name: found[op.name] for op in graph.ops if op.name in found}
