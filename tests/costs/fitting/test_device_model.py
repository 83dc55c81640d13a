"""Costs of segments on one device, fitted to an invented engine whose law is known."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest

from hetsim.core.graph import Graph, Op, Tensor
from hetsim.core.problem import PartWork
from hetsim.costs.fitting.device_model import DeviceModel, Observation
from hetsim.costs.fitting.shared_tensors import SharedTensor

KINDS = ("Conv", "Relu", "MaxPool", "Conv", "Relu", "Conv", "Relu", "Add")
LAUNCH_S = 1e-5


def chain(num_ops: int) -> Graph:
    """Operators in a row, their kinds over and over again; tensors of 4 bytes."""
    return Graph(
        name="chain",
        ops=tuple(
            Op(name=f"op{i}", kind=KINDS[i % len(KINDS)], inputs=(f"t{i}",), outputs=(f"t{i + 1}",))
            for i in range(num_ops)
        ),
        tensors={f"t{i}": Tensor(f"t{i}", (1,)) for i in range(num_ops + 1)},
        inputs=("t0",),
        outputs=(f"t{num_ops}",),
    )


GRAPH = chain(48)


def stretch(start: int, end: int) -> tuple[str, ...]:
    return tuple(f"op{i}" for i in range(start, end))


def whole(ops: tuple[str, ...]) -> PartWork:
    """A segment of operators of the model as it was imported."""
    return PartWork(shares=dict.fromkeys(ops, 1.0), copied_bytes=0)


def part(op: str, share: float, copied_bytes: int = 0) -> PartWork:
    """A share of one operator."""
    return PartWork(shares={op: share}, copied_bytes=copied_bytes)


def engine_s(ops: tuple[str, ...]) -> float:
    """An invented engine: a rectifier behind its convolution is free, and a tensor at the border costs a conversion."""
    total_s = LAUNCH_S
    for op in ops:
        kind, before = GRAPH.by_name[op].kind, GRAPH.predecessors[op]
        if kind == "Relu" and before and before[0] in ops:
            continue
        total_s += {"Conv": 1e-3, "Relu": 2e-4, "MaxPool": 3e-4, "Add": 1e-4}[kind] * (1 + GRAPH.position[op] % 5)
    return total_s + (3e-4 if GRAPH.by_name[ops[-1]].kind in ("Conv", "Relu") and len(ops) > 1 else 0.0)


def observed(
    ops: tuple[str, ...],
    context: str,
    seconds: float | None = None,
    shared: tuple[SharedTensor, ...] = (),
    *,
    work: PartWork | None = None,
    sharing_factor: float = 1.0,
) -> Observation:
    return Observation(
        ops=ops,
        work=work or whole(ops),
        context=context,
        is_searched=context.startswith("final:"),
        shared=shared,
        sharing_factor=sharing_factor,
        seconds=engine_s(ops) if seconds is None else seconds,
    )


def measured(*lengths: int, noise: float = 0.0) -> list[Observation]:
    """What the engine takes for the whole graph cut into stretches of each length, off by so much at random."""
    generator, num_ops = random.Random(0), len(GRAPH.ops)
    return [
        observed(ops, f"configuration:{length}", engine_s(ops) * (1 + generator.gauss(0, noise)))
        for length in lengths
        for start in range(0, num_ops, length)
        for ops in [stretch(start, min(start + length, num_ops))]
    ]


def fitted(observations: Sequence[Observation], calibrated: tuple[float, float] = (0.0, 0.0)) -> DeviceModel:
    return DeviceModel(GRAPH, observations, LAUNCH_S, calibrated)


def seconds_of(model: DeviceModel, ops: tuple[str, ...]) -> float:
    return model.seconds(ops, whole(ops))


def error_s(model: DeviceModel, *segments: tuple[str, ...]) -> float:
    """The standard error of the sum of segments that share nothing."""
    return model.error_s(model.row([(ops, whole(ops), ()) for ops in segments], "a plan"))


@pytest.mark.equation("segment")
def test_an_engine_that_fuses_is_found_out() -> None:
    model = fitted(measured(1, 2, 3, 5, 8, 16))
    generator = random.Random(0)
    errors, naive, num_within = [], [], 0
    for _ in range(200):
        start = generator.randrange(40)
        ops = stretch(start, start + generator.randrange(4, 9))
        truth_s = engine_s(ops)
        errors.append(abs(seconds_of(model, ops) / truth_s - 1))
        naive.append(abs(sum(engine_s((op,)) for op in ops) / truth_s - 1))
        num_within += abs(seconds_of(model, ops) - truth_s) <= 1.96 * error_s(model, ops)
    assert np.mean(errors) < 0.04
    assert np.mean(naive) > 3 * np.mean(errors)
    assert num_within >= 180


@pytest.mark.equation("segment")
def test_a_measured_segment_takes_nearly_what_was_measured() -> None:
    observations = measured(1, 2, 3, 5)
    model = fitted(observations)
    for one in observations:
        assert seconds_of(model, one.ops) == pytest.approx(one.seconds, rel=0.04)  # each may be noise in part
    assert set(model.measured) == {one.ops for one in observations}
    # One that took longer than its operators suggest is believed, and others elsewhere stay as they are.
    odd = stretch(20, 24)
    slow = fitted([*observations, *(observed(odd, f"replay:{i}", 2 * engine_s(odd)) for i in range(3))])
    assert seconds_of(slow, odd) == pytest.approx(2 * engine_s(odd), rel=0.1)
    assert seconds_of(slow, stretch(40, 44)) == pytest.approx(seconds_of(model, stretch(40, 44)), rel=0.05)


@pytest.mark.equation("segment")
def test_of_several_contexts_the_middle_counts() -> None:
    ops = stretch(0, 2)
    took_s = [2.0e-3, 2.1e-3, 2.05e-3]
    model = fitted([*measured(1), *(observed(ops, f"replay:{i}", s) for i, s in enumerate(took_s))])
    assert model.measured[ops] == 2.05e-3
    assert seconds_of(model, ops) == pytest.approx(2.05e-3, rel=0.02)


@pytest.mark.equation("unable")
def test_operators_that_were_never_measured_cannot_be_predicted() -> None:
    model = fitted([observed(stretch(0, 2), "configuration:2"), observed(("op2",), "configuration:1")])
    assert model.can_predict(whole(stretch(0, 3)))  # op0 and op1 share what they took together
    assert not model.can_predict(whole(stretch(2, 4)))
    quarter = observed(("a part",), "final:1", 1e-3, work=part("op3", 0.25))
    assert fitted([quarter]).can_predict(whole(("op3",)))


@pytest.mark.equation("segment")
def test_no_segment_takes_less_than_a_tenth_of_its_operators_alone() -> None:
    # Pairs took a hundredth of what their operators take alone; two pairs together would take less than nothing.
    pairs = [observed(stretch(i, i + 2), "c", 0.01 * engine_s(stretch(i, i + 2))) for i in range(0, 48, 2)]
    model = fitted([*measured(1), *pairs])
    for ops in (stretch(0, 4), stretch(10, 20), stretch(0, 48)):
        alone_s = sum(engine_s((op,)) for op in ops)
        assert 0.1 * alone_s * (1 - 1e-9) <= seconds_of(model, ops) < alone_s


MB_S = 3e-4
"""What a shared tensor of a megabyte costs to read, give or take a third; making one costs a third."""


def tensor(i: int, *, is_made: bool) -> SharedTensor:
    """A tensor that operator ``i`` makes or reads: up to a megabyte."""
    return SharedTensor(is_made=is_made, num_bytes=100_000 * (1 + i % 10), name=f"tensor {i}")


def true_sharing_s(one: SharedTensor) -> float:
    own = (2, 3, 4)[int(one.name.split()[1]) % 3] / 3
    return MB_S * own * one.num_bytes / 1e6 / (3 if one.is_made else 1)


def spreads(num_contexts: int, factors: Sequence[float] = (1.0,)) -> list[Observation]:
    """Pairs of operators, each in contexts in which it shares what it reads, what it makes, both or nothing.

    In the contexts in turn sharing takes so many times as long as usual.
    """
    generator, found = random.Random(1), []
    for context in range(num_contexts):
        for i in range(0, 48, 2):
            both = tensor(i, is_made=False), tensor(i + 1, is_made=True)
            shared = tuple(one for one in both if generator.random() < 0.5)
            factor = factors[context % len(factors)]
            seconds = engine_s(stretch(i, i + 2)) + factor * sum(map(true_sharing_s, shared))
            found.append(observed(stretch(i, i + 2), f"spread {context}", seconds, shared, sharing_factor=factor))
    return found


@pytest.mark.equation("sharing")
@pytest.mark.parametrize("factors", [(1.0,), (1.0, 5.0, 1.0)])
def test_what_shared_tensors_cost_is_recovered(factors: tuple[float, ...]) -> None:
    model = fitted([*measured(1, 2), *spreads(6, factors)])
    for i in range(0, 48, 2):
        for one in (tensor(i, is_made=False), tensor(i + 1, is_made=True)):
            assert model.sharing_s(one) == pytest.approx(true_sharing_s(one), rel=0.2, abs=1e-5)
        assert seconds_of(model, stretch(i, i + 2)) == pytest.approx(engine_s(stretch(i, i + 2)), rel=0.02)
    # One that nobody shared costs what others do.
    new = SharedTensor(is_made=False, num_bytes=500_000, name="tensor 100")
    assert model.sharing_s(new) == pytest.approx(true_sharing_s(new), rel=0.3)


@pytest.mark.equation("sharing")
def test_without_evidence_shared_tensors_cost_what_calibration_says_and_never_less_than_nothing() -> None:
    model = fitted(measured(1, 2), (2e-10, 5e-10))
    read, made = (SharedTensor(is_made, 10**6, "t") for is_made in (False, True))
    assert model.sharing_s(read) == pytest.approx(2e-4)
    assert model.sharing_s(made) == pytest.approx(5e-4)
    # Sharing made it faster here.
    faster = [
        observed(ops, f"spread {k}", engine_s(ops) - 4e-4, (SharedTensor(False, 10**6, f"t{i}"),))
        for k in range(4)
        for i in range(0, 48, 2)
        for ops in [stretch(i, i + 2)]
    ]
    assert fitted([*measured(1, 2), *faster], (2e-10, 5e-10)).sharing_s(read) == 0.0


@pytest.mark.equation("plan-error")
def test_errors_shrink_with_data() -> None:
    target = stretch(9, 20)
    few, more, all_of_it = (
        fitted(one)
        for one in (
            measured(1, noise=0.01),
            measured(1, 2, 3, 5, noise=0.01),
            [*measured(1, 2, 3, 5, noise=0.01), observed(target, "replay:1"), observed(target, "replay:2")],
        )
    )
    assert error_s(few, target) > 1.5 * error_s(more, target)
    assert error_s(more, target) > error_s(all_of_it, target) > 0


@pytest.mark.equation("plan-error")
def test_errors_that_segments_have_in_common_add_up() -> None:
    # Eight operators later all kinds are the same again, so what is not known of the one is not known of the other.
    model = fitted(measured(1))
    one, other = stretch(0, 6), stretch(40, 46)
    together, apart = error_s(model, one, other), np.hypot(error_s(model, one), error_s(model, other))
    assert 1.05 * apart < together < error_s(model, one) + error_s(model, other)


@pytest.mark.equation("plan-error")
def test_errors_are_scaled_to_those_of_leaving_one_out() -> None:
    quiet, noisy = fitted(measured(1, 2, 3, noise=0.005)), fitted(measured(1, 2, 3, noise=0.15))
    assert error_s(noisy, stretch(0, 7)) > 2 * error_s(quiet, stretch(0, 7))
    found = noisy.left_out()
    assert {len(one.ops) for one in found} == {2, 3}
    assert [one.measured_s for one in found] == [
        one.seconds for one in measured(1, 2, 3, noise=0.15) if len(one.ops) > 1
    ]
    for one in found:
        assert one.relative_error == pytest.approx(one.predicted_s / one.measured_s - 1)
    spread = [np.std([one.relative_error for one in model.left_out()]) for model in (quiet, noisy)]
    assert spread[1] > 2 * spread[0]


@pytest.mark.equation("parts")
def test_parts_of_an_operator_take_their_share_and_copies_their_bytes() -> None:
    half, untold = part("op11", 0.5), fitted(measured(1, 2))
    whole_s = engine_s(("op11",)) - LAUNCH_S
    assert untold.seconds(("new",), half) == pytest.approx(LAUNCH_S + 0.5 * whole_s, rel=0.05)
    # Copies take a while for their bytes: 20 GB/s before any is measured.
    copies = part("op11", 0.5, 2_000_000)
    assert untold.seconds(("new", "slice"), copies) - untold.seconds(("new",), half) == pytest.approx(1e-4)
    assert untold.error_s(untold.row([(("slice",), PartWork(shares={}, copied_bytes=10**6), ())], "a plan")) > 0


@pytest.mark.equation("searched")
def test_what_a_search_finds_takes_longer_as_far_as_such_plans_did() -> None:
    observations, found = measured(1, 2, 3, 5, 48), range(2, 40, 7)
    slower = [
        observed(ops, f"final:{start}", 1.04 * engine_s(ops)) for start in found for ops in [stretch(start, start + 6)]
    ]
    before, after = fitted(observations), fitted([*observations, *slower])
    for ops in (stretch(4, 10), stretch(20, 31)):
        assert 1.01 < seconds_of(after, ops) / seconds_of(before, ops) < 1.05
    # No search finds the whole model on one device, where there is nothing to choose.
    everything = stretch(0, 48)
    assert seconds_of(after, everything) == pytest.approx(seconds_of(before, everything), rel=0.005)


@pytest.mark.equation("sampled")
def test_sampled_costs_differ_where_costs_are_not_known() -> None:
    target = stretch(1, 9)
    unknown = fitted(measured(1))
    known = fitted([*measured(1, 2, 3), *(observed(target, f"final:{i}") for i in range(3))])
    generator = np.random.default_rng(0)
    before_s = seconds_of(unknown, target)
    drawn_s = [[seconds_of(model.sampled(generator), target) for _ in range(60)] for model in (unknown, known)]
    assert np.std(drawn_s[0]) > 2 * np.std(drawn_s[1]) > 0
    assert np.mean(drawn_s[0]) == pytest.approx(before_s, rel=0.05)
    assert seconds_of(unknown, target) == before_s
    again = [seconds_of(unknown.sampled(np.random.default_rng(seed)), target) for seed in (7, 7, 8)]
    assert again[0] == again[1] != again[2]
