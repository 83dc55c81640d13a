"""How far arrays are from what they should be, by hand."""

from __future__ import annotations

import math

import numpy as np

from hetsim.core.deviation import deviation, value_deviation


def test_floats_differ_relative_to_the_largest_magnitude() -> None:
    found = deviation(np.array([[1.0, -4.5], [0.0, 2.0]]), np.array([[1.0, -4.0], [-0.0, 2.0]]))
    assert (found.max_abs, found.relative, found.index) == (0.5, 0.125, (0, 1))
    assert (found.found, found.expected) == (-4.5, -4.0)
    assert found.exceeds(0.1)
    assert not found.exceeds(0.2)
    assert 0.98 < found.cosine < 1.0
    assert str(found) == "-4.5 at [0, 1] instead of -4.0"


def test_integers_must_be_equal() -> None:
    big = 2**53
    found = deviation(np.array([7, big + 1]), np.array([7, big]))
    assert (found.max_abs, found.index) == (1.0, (1,))
    assert found.exceeds(1e9)
    assert not deviation(np.array([True]), np.array([True])).exceeds(0.0)
    assert deviation(np.array(["a", "b"], dtype=object), np.array(["a", "c"], dtype=object)).exceeds(0.0)


def test_numbers_that_are_not_finite_agree_with_their_like_alone() -> None:
    special = np.array([math.nan, math.inf, -math.inf, 1.0], dtype=np.float32)
    assert deviation(special, special.copy()).max_abs == 0.0
    assert deviation(special, np.array([math.nan, math.inf, math.inf, 1.0], dtype=np.float32)).relative == math.inf
    lost = deviation(np.zeros(4, dtype=np.float32), special)
    assert lost.exceeds(1e9)
    assert math.isnan(lost.expected)  # type: ignore[arg-type]


def test_other_shapes_and_types_differ_infinitely() -> None:
    assert deviation(np.zeros(2), np.zeros(3)).exceeds(1e9)
    assert deviation(np.zeros(2, np.float32), np.zeros(2)).exceeds(1e9)
    assert deviation(np.zeros(0), np.zeros(0)).max_abs == 0.0


def test_scalars_have_no_place() -> None:
    assert str(deviation(np.array(2.0), np.array(1.0))) == "2.0 instead of 1.0"


def test_sequences_and_optional_values_are_compared_too() -> None:
    right = [np.array([1.0, 2.0]), np.array([4.0])]
    one = value_deviation([np.array([1.0, 2.0]), np.array([5.0])], right)
    assert (one.max_abs, one.relative, one.index) == (1.0, 0.25, (1, 0))
    assert value_deviation(right, right).max_abs == 0.0
    assert value_deviation(None, None).max_abs == 0.0
    assert str(value_deviation(right[:1], right)) == "a sequence of 1 instead of a sequence of 2"
    assert value_deviation(None, np.array([1.0])).relative == np.inf
    assert value_deviation(np.float32(1.5), np.array(1.5, np.float32)).max_abs == 0.0
