"""Bayesian linear regression: unknown coefficients with normal priors, fitted to measurements with normal errors.

Every measurement is a sum of terms, each a known value times an unknown coefficient. This is ridge regression with a
penalty for each coefficient. C. E. Rasmussen, C. K. I. Williams, "Gaussian Processes for Machine Learning", MIT Press,
2006: section 2.1.2 for the fit, which is done here through the covariance of the measurements, as there are fewer
measurements than coefficients; equations 5.10 to 5.12 for leaving one out. Samples of the posterior are made by
correcting a sample of the prior: J. T. Wilson et al., "Pathwise conditioning of Gaussian processes", Journal of Machine
Learning Research 22, 2021, section 3.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Term:
    """One unknown coefficient and what it is multiplied with.

    Attributes:
        key: The coefficient; terms with equal keys share one.
        value: What it is multiplied with.
        mean: Its prior mean.
        sd: Its prior standard deviation.
    """

    key: Hashable
    value: float
    mean: float
    sd: float


Row = Mapping[Hashable, Term]
"""A measurement's terms, one for each coefficient."""


def merged(terms: Iterable[Term]) -> dict[Hashable, Term]:
    """The terms with those of one coefficient added up."""
    found: dict[Hashable, Term] = {}
    for term in terms:
        known = found.get(term.key)
        found[term.key] = term if known is None else Term(term.key, known.value + term.value, term.mean, term.sd)
    return found


class Regression:
    """Coefficients fitted to measurements.

    Args:
        rows: By measurement, its terms; at least one measurement.
        measured: What was measured.
        noise: The standard errors of the measurements, all positive.
    """

    def __init__(self, rows: Sequence[Row], measured: Floats, noise: Floats) -> None:
        self._measured, self._noise = measured, noise
        self._column: dict[Hashable, int] = {}
        terms: list[Term] = []
        for row in rows:
            for term in row.values():
                if term.key not in self._column:
                    self._column[term.key] = len(terms)
                    terms.append(term)
        self._mean = np.array([term.mean for term in terms])
        self._sd = np.array([term.sd for term in terms])
        self._row = np.array([i for i, row in enumerate(rows) for _ in row], np.intp)
        self._col = np.array([self._column[key] for row in rows for key in row], np.intp)
        self._value = np.array([term.value for row in rows for term in row.values()])
        self._inverse = self._inverse_covariance(len(rows))
        self._weights = self._inverse @ (measured - self._times(self._mean))
        self._coefficients = (self._mean + self._correction(self._weights)).tolist()
        order = np.argsort(self._col, kind="stable")
        ends = np.cumsum(np.bincount(self._col, minlength=len(terms)))[:-1]
        self._rows_of = np.split(self._row[order], ends)
        self._values_of = np.split(self._value[order], ends)

    def _times(self, coefficients: Floats) -> Floats:
        """What the measurements would be with these coefficients."""
        return np.bincount(self._row, self._value * coefficients[self._col], len(self._measured)).astype(np.float64)

    def _correction(self, weights: Floats) -> Floats:
        """By coefficient, what weights of the measurements add to it."""
        found: Floats = self._sd**2 * np.bincount(self._col, self._value * weights[self._row], len(self._mean))
        return found

    def _inverse_covariance(self, num_rows: int) -> Floats:
        """The inverse of the prior covariance of the measurements."""
        count = np.bincount(self._col, minlength=len(self._mean))
        scaled = self._value * self._sd[self._col]
        own = count[self._col] == 1  # coefficients of one measurement alone only add to its variance
        variance = self._noise**2 + np.bincount(self._row[own], scaled[own] ** 2, num_rows)
        place = np.cumsum(count > 1) - 1
        design = np.zeros((num_rows, int(np.sum(count > 1))))
        design[self._row[~own], place[self._col[~own]]] = scaled[~own]
        root = np.sqrt(variance)
        design /= root[:, None]  # so that nothing depends on the range of the measurements
        inverse: Floats = np.linalg.inv(design @ design.T + np.eye(num_rows)) / np.outer(root, root)
        return inverse

    def value(self, terms: Iterable[Term]) -> float:
        """The expected sum of terms; coefficients without measurements keep their prior means."""
        total = 0.0
        for term in terms:
            column = self._column.get(term.key)
            total += term.value * (term.mean if column is None else self._coefficients[column])
        return total

    def variance(self, row: Row) -> float:
        """The posterior variance of a sum of terms."""
        with_measured = np.zeros(len(self._measured))
        prior = 0.0
        for key, term in row.items():
            prior += (term.value * term.sd) ** 2
            column = self._column.get(key)
            if column is not None:
                with_measured[self._rows_of[column]] += term.value * term.sd**2 * self._values_of[column]
        return max(0.0, prior - float(with_measured @ self._inverse @ with_measured))

    def left_out(self) -> tuple[Floats, Floats]:
        """By measurement, what all others predict of it, and the standard error of that."""
        diagonal = np.diag(self._inverse)
        return self._measured - self._weights / diagonal, np.sqrt(1 / diagonal)

    def sampled(self, generator: np.random.Generator) -> Regression:
        """The same with coefficients drawn from their posterior; coefficients without measurements keep their means."""
        drawn = self._mean + self._sd * generator.standard_normal(len(self._mean))
        noise = self._noise * generator.standard_normal(len(self._noise))
        weights = self._inverse @ (self._measured - noise - self._times(drawn))
        other = object.__new__(Regression)
        other.__dict__.update(self.__dict__)
        other._coefficients = (drawn + self._correction(weights)).tolist()
        return other
