"""The regression: its closed form, leaving one out, samples of the posterior."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from hetsim.costs.fitting.regression import Regression, Row, Term, merged

Floats = NDArray[np.float64]
SEEDS = st.integers(0, 2**32 - 1)
KEYS = ("a", "b", "c", "d", "e")


def random_data(seed: int, num_rows: int = 7) -> tuple[list[Row], Floats, Floats]:
    """Measurements of a few shared coefficients, some with one of their own, and their standard errors."""
    generator = np.random.default_rng(seed)
    prior = {key: (generator.normal(), generator.uniform(0.1, 3.0)) for key in KEYS}
    rows: list[Row] = []
    for i in range(num_rows):
        terms = [
            Term(key, generator.normal(), *prior[key]) for key in KEYS if generator.random() < 0.5 or key == KEYS[i % 2]
        ]
        if generator.random() < 0.5:
            terms.append(Term(("own", i), generator.normal(), 0.0, 1.0))
        rows.append(merged(terms))
    return rows, generator.normal(size=num_rows), generator.uniform(0.05, 1.0, num_rows)


class ClosedForm:
    """The posterior by least squares over all coefficients, each prior a measurement of its own."""

    def __init__(self, rows: list[Row], measured: Floats, noise: Floats) -> None:
        self.terms = {key: term for row in rows for key, term in row.items()}
        design = np.array([self.values(row) for row in rows])
        mean, sd = np.array([(term.mean, term.sd) for term in self.terms.values()]).T
        stacked = np.vstack([design / noise[:, None], np.diag(1 / sd)])
        self.coefficients = np.linalg.lstsq(stacked, np.concatenate([measured / noise, mean / sd]), rcond=None)[0]
        self.covariance = np.linalg.inv(stacked.T @ stacked)

    def values(self, row: Row) -> Floats:
        return np.array([row[key].value if key in row else 0.0 for key in self.terms])

    def value(self, row: Row) -> float:
        unknown = sum(term.value * term.mean for key, term in row.items() if key not in self.terms)
        return float(self.values(row) @ self.coefficients) + unknown

    def variance(self, row: Row) -> float:
        unknown = sum((term.value * term.sd) ** 2 for key, term in row.items() if key not in self.terms)
        return float(self.values(row) @ self.covariance @ self.values(row)) + unknown


@given(seed=SEEDS)
@pytest.mark.equation("regression")
def test_the_posterior_is_that_of_least_squares_with_priors(seed: int) -> None:
    rows, measured, noise = random_data(seed)
    *known, other = rows
    found, expected = (kind(known, measured[:-1], noise[:-1]) for kind in (Regression, ClosedForm))
    for row in (*known, other, merged([*known[0].values(), *other.values()])):
        assert found.value(row.values()) == pytest.approx(expected.value(row), rel=1e-7, abs=1e-7)
        assert found.variance(row) == pytest.approx(expected.variance(row), rel=1e-6, abs=1e-9)


@given(seed=SEEDS)
@pytest.mark.equation("left-out")
def test_leaving_one_out_is_fitting_without_it(seed: int) -> None:
    rows, measured, noise = random_data(seed)
    predicted, errors = Regression(rows, measured, noise).left_out()
    for i, row in enumerate(rows):
        others = [j for j in range(len(rows)) if j != i]
        without = Regression([rows[j] for j in others], measured[others], noise[others])
        assert predicted[i] == pytest.approx(without.value(row.values()), rel=1e-6, abs=1e-6)
        assert errors[i] ** 2 == pytest.approx(without.variance(row) + noise[i] ** 2, rel=1e-6)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.equation("sampled")
def test_samples_have_the_posterior_s_mean_and_variance(seed: int) -> None:
    rows, measured, noise = random_data(seed)
    found, generator = Regression(rows, measured, noise), np.random.default_rng(seed)
    samples = [found.sampled(generator) for _ in range(4000)]
    for row in (rows[0], rows[1], merged([*rows[0].values(), *rows[1].values()])):
        drawn = np.array([sample.value(row.values()) for sample in samples])
        sd = found.variance(row) ** 0.5
        assert drawn.mean() == pytest.approx(found.value(row.values()), abs=5 * sd / 4000**0.5)
        assert drawn.std() == pytest.approx(sd, rel=0.06)
    # Of what no measurement has a part in, the mean is taken.
    assert samples[0].value([Term("unknown", 2.0, 3.0, 9.0)]) == 6.0


def test_one_coefficient_by_hand() -> None:
    # Prior 1 with variance 4, measured twice as 3 with variance 1: precision 1/4 + 2, mean (1/4 + 6) / (9/4) = 25/9.
    rows = [{"a": Term("a", 1.0, 1.0, 2.0)}] * 2
    found = Regression(rows, np.array([3.0, 3.0]), np.ones(2))
    assert found.value([Term("a", 2.0, 1.0, 2.0)]) == pytest.approx(50 / 9)
    assert found.variance({"a": Term("a", 2.0, 1.0, 2.0)}) == pytest.approx(4 * 4 / 9)
    assert found.value([Term("b", 2.0, 5.0, 1.0)]) == 10.0
    assert found.variance({"b": Term("b", 2.0, 5.0, 1.0)}) == 4.0


def test_terms_of_one_coefficient_are_added_up() -> None:
    found = merged([Term("a", 1.0, 0.5, 2.0), Term("b", 1.0, 0.0, 1.0), Term("a", 2.0, 0.5, 2.0)])
    assert found == {"a": Term("a", 3.0, 0.5, 2.0), "b": Term("b", 1.0, 0.0, 1.0)}
