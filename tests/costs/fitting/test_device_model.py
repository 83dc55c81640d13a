"""Predicted times of segments: closed forms, leaving one out, a law that the fit recovers, honest standard errors."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hetsim.costs.fitting.neighbourhood import RADII, Neighbourhood
from hetsim.costs.fitting.predictor import MIN_LEFT_OUT, Predictor
from hypothesis import given
from hypothesis import strategies as st

from hetsim.core.graph import Graph, Op, Tensor

KINDS = ("Conv", "Relu", "MaxPool", "Conv", "Relu", "Conv", "Relu", "Add")


def chain(num_ops: int, kinds: tuple[str, ...] = KINDS) -> Graph:
    """Operators in a row, their kinds over and over again; tensors of 4 bytes."""
    return Graph(
        name="chain",
        ops=tuple(
            Op(name=f"op{i}", kind=kinds[i % len(kinds)], inputs=(f"t{i}",), outputs=(f"t{i + 1}",))
            for i in range(num_ops)
        ),
        tensors={f"t{i}": Tensor(f"t{i}", (1,)) for i in range(num_ops + 1)},
        inputs=("t0",),
        outputs=(f"t{num_ops}",),
    )


def stretch(start: int, end: int) -> tuple[str, ...]:
    return tuple(f"op{i}" for i in range(start, end))


def engine_s(graph: Graph, ops: tuple[str, ...]) -> float:
    """An invented engine: a rectifier behind its convolution is free, and a tensor at the border costs a conversion."""
    total_s = 10e-6
    for op in ops:
        kind, before = graph.by_name[op].kind, graph.predecessors[op]
        if kind == "Relu" and before and before[0] in ops:
            continue
        total_s += {"Conv": 1e-3, "Relu": 2e-4, "MaxPool": 3e-4, "Add": 1e-4}[kind] * (1 + graph.position[op] % 5)
    return total_s + (3e-4 if graph.by_name[ops[-1]].kind in ("Conv", "Relu") and len(ops) > 1 else 0.0)


def measured(graph: Graph, *lengths: int) -> dict[tuple[str, ...], float]:
    """What the engine takes for the whole graph cut into stretches of each length."""
    num_ops = len(graph.ops)
    return {
        (ops := stretch(start, min(start + length, num_ops))): engine_s(graph, ops)
        for length in lengths
        for start in range(0, num_ops, length)
    }


@pytest.mark.equation("predictor")
def test_without_longer_segments_operators_are_expected_to_save_something_beside_each_other() -> None:
    graph = chain(4)
    predictor = Predictor(graph, {(f"op{i}",): float(i + 1) for i in range(4)}, launch_s=0.1)
    # 0.85 of its time alone for an operator with neighbours inside on one side, 0.75 with some on both.
    assert predictor.seconds(stretch(0, 2)) == pytest.approx(0.1 + 0.85 * 1 + 0.85 * 2)
    assert predictor.seconds(stretch(0, 4)) == pytest.approx(0.1 + 0.85 * 1 + 0.75 * 2 + 0.75 * 3 + 0.85 * 4)


@pytest.mark.equation("predictor")
def test_the_fit_is_that_of_the_normal_equations() -> None:
    graph = chain(8)
    known = measured(graph, 1, 2, 3)
    alone_s = {op.name: known[(op.name,)] for op in graph.ops}
    around = Neighbourhood(graph, alone_s)

    def row(ops: tuple[str, ...]) -> dict[object, tuple[float, float, float]]:
        found: dict[object, tuple[float, float, float]] = {}
        for op in ops:
            for radius in RADII:
                for term in around.terms(graph.position[op], graph.mask(ops), radius):
                    found[term.key] = (found.get(term.key, (0.0,))[0] + term.value, term.mean, term.sd)
        return found

    wanted = stretch(1, 6)
    rows = [*map(row, known), row(wanted)]
    terms = {key: (mean, sd) for one in rows for key, (_, mean, sd) in one.items()}
    design = np.array([[one.get(key, (0.0,))[0] for key in terms] for one in rows])
    mean, sd = np.array(list(terms.values())).T
    seconds = np.array(list(known.values()))
    noise = 0.03 * seconds + 2e-6
    # Posterior of theta = mean + sd * z with z standard normal: (1 + A'A) z = A'b, A and b in units of the noise.
    scaled = design[:-1] * sd / noise[:, None]
    precision = np.eye(len(terms)) + scaled.T @ scaled
    z = np.linalg.solve(precision, scaled.T @ ((seconds - design[:-1] @ mean) / noise))
    expected_s = design[-1] @ (mean + sd * z)
    predictor = Predictor(graph, known)
    assert predictor.seconds(wanted) == pytest.approx(expected_s, rel=1e-6)
    variance = (design[-1] * sd) @ np.linalg.solve(precision, design[-1] * sd) + (0.03 * expected_s + 2e-6) ** 2
    assert len(predictor.left_out()) < MIN_LEFT_OUT  # so the bar is not scaled
    assert predictor.error_s(wanted) == pytest.approx(np.sqrt(variance), rel=1e-6)


@pytest.mark.equation("left-out")
def test_leaving_one_out_is_fitting_without_it() -> None:
    graph = chain(16)
    known = measured(graph, 1, 2, 4)
    found = Predictor(graph, known, launch_s=1e-5).left_out()
    assert [len(one.ops) for one in found] == [2] * 8 + [4] * 4
    for one in found:
        rest = {ops: seconds for ops, seconds in known.items() if ops != one.ops}
        assert one.measured_s == known[one.ops]
        assert one.predicted_s == pytest.approx(Predictor(graph, rest, launch_s=1e-5).seconds(one.ops), rel=1e-6)
    z = [one.relative_error * one.measured_s / one.error_s for one in found]
    assert np.mean(np.square(z)) == pytest.approx(1.0)  # bars are scaled to what leaving one out shows


@pytest.mark.equation("predictor")
def test_an_engine_that_fuses_is_found_out() -> None:
    graph = chain(48)
    predictor = Predictor(graph, measured(graph, 1, 2, 3, 5, 8, 16), launch_s=1e-5)
    generator = random.Random(0)
    errors, naive, covered = [], [], 0
    for _ in range(200):
        start = generator.randrange(40)
        ops = stretch(start, start + generator.randrange(4, 9))
        truth_s = engine_s(graph, ops)
        errors.append(abs(predictor.seconds(ops) / truth_s - 1))
        naive.append(abs(sum(engine_s(graph, (op,)) for op in ops) / truth_s - 1))
        covered += abs(predictor.seconds(ops) - truth_s) <= 2 * predictor.error_s(ops)
    assert np.mean(errors) < 0.03
    assert np.mean(naive) > 3 * np.mean(errors)
    assert covered >= 180


@pytest.mark.equation("predictor")
def test_what_was_nearly_measured_has_the_shorter_bar() -> None:
    graph = chain(24)
    known = measured(graph, 1, 2) | {stretch(0, 12): engine_s(graph, stretch(0, 12))}
    predictor = Predictor(graph, known)
    near, far = stretch(1, 12), stretch(13, 24)
    assert predictor.error_s(near) / predictor.seconds(near) < predictor.error_s(far) / predictor.seconds(far)


@pytest.mark.equation("predictor")
def test_together_operators_take_no_longer_than_one_by_one() -> None:
    # By what was measured two in a row take ten times as long as one by one. So would others, but for the rule.
    graph = chain(8)
    known = {(op.name,): 1e-3 for op in graph.ops} | {stretch(i, i + 2): 20e-3 for i in range(0, 6, 2)}
    assert Predictor(graph, known).seconds(stretch(1, 3)) == pytest.approx(2e-3)
    # Where one of them was never measured by itself, nothing says what that would be.
    del known["op1",]
    assert Predictor(graph, known).seconds(stretch(1, 3)) > 5e-3


@pytest.mark.equation("predictor")
def test_a_part_that_is_slow_makes_the_whole_slow() -> None:
    # An engine may choose a slow kernel: the third and the fourth take 20 ms together and 2 ms one by one.
    graph = chain(8)
    known = {(op.name,): 1e-3 for op in graph.ops} | {stretch(i, i + 2): 20e-3 for i in range(0, 6, 2)}
    assert 6e-3 < Predictor(graph, known).seconds(stretch(1, 4)) <= 3e-3 + 18e-3
    assert Predictor(graph, known).seconds(stretch(5, 8)) == pytest.approx(3e-3)  # has none of them inside


@pytest.mark.equation("unable")
def test_operators_that_were_never_measured_cannot_be_predicted() -> None:
    predictor = Predictor(chain(4), {stretch(0, 2): 4.0, ("op2",): 1.0})
    assert predictor.can_predict(stretch(0, 3))  # op0 and op1 share what they took together
    assert not predictor.can_predict(stretch(2, 4))


@given(data=st.data())
@pytest.mark.equation("predictor")
def test_predictions_are_positive_and_do_not_depend_on_the_order_of_measurements(data: st.DataObject) -> None:
    graph = chain(8)
    times = st.floats(1e-6, 10.0)
    known: dict[tuple[str, ...], float] = {(op.name,): data.draw(times) for op in graph.ops}
    for start in range(0, 8, 2):
        known[stretch(start, start + 2)] = data.draw(times)
    ops = stretch(0, data.draw(st.integers(3, 8)))
    predictor = Predictor(graph, known, launch_s=data.draw(st.floats(0, 1e-3)))
    alone_s = sum(known[(op,)] for op in ops)
    parts = [part for part in known if len(part) == 2 and set(part) < set(ops)]
    more_s = max(known[part] - sum(known[(op,)] for op in part) for part in parts)
    assert 0.1 * alone_s * (1 - 1e-9) <= predictor.seconds(ops) <= (alone_s + max(more_s, 0.0)) * (1 + 1e-9)
    assert 0 < predictor.error_s(ops) < np.inf
    shuffled = dict(data.draw(st.permutations(list(known.items()))))
    again = Predictor(graph, shuffled, launch_s=predictor._launch_s)
    assert again.seconds(ops) == pytest.approx(predictor.seconds(ops), rel=1e-4)
