"""The zoo: its networks import, keep their published sizes, and answer so that a wrong plan would show."""

from __future__ import annotations

import numpy as np
import pytest

from hetsim.core.errors import ModelError
from hetsim.models.importer import import_model, load_model
from hetsim.models.model import Model, random_inputs
from hetsim.models.reference import evaluate
from hetsim.models.structure import branch_levels
from hetsim.models.zoo import build, zoo_names

SMALL = ("squeezenet", "shufflenet", "resnet18", "mobilenet_v2", "transformer")


@pytest.fixture(scope="module")
def models() -> dict[str, Model]:
    return {name: load_model(name) for name in SMALL}


def _answer(model: Model, *, seed: int) -> np.ndarray:
    return evaluate(model.proto, random_inputs(model, seed=seed))[model.graph.outputs[0]].ravel()


@pytest.mark.parametrize("name", SMALL)
def test_answers_are_neither_uniform_nor_certain_and_depend_on_the_input(models, name):
    first, second = (_answer(models[name], seed=seed) for seed in (1, 2))
    assert first.sum() == pytest.approx(1, abs=1e-4)
    assert 0.02 < first.max() < 0.9
    assert np.abs(np.log(first / second)).max() > 0.3  # inputs must matter by far more than rounding does


@pytest.mark.parametrize(
    ("name", "gmacs", "mega_weights"),  # as published, without the few weights of batch normalisation
    [
        ("squeezenet", 0.35, 1.24),
        ("resnet18", 1.81, 11.7),
        ("mobilenet_v2", 0.30, 3.5),
    ],
)
def test_published_sizes(models, name, gmacs, mega_weights):
    ops = models[name].graph.ops
    assert sum(op.num_macs for op in ops) / 1e9 == pytest.approx(gmacs, rel=0.02)
    assert sum(op.weight_bytes for op in ops) / 4e6 == pytest.approx(mega_weights, rel=0.02)


@pytest.mark.parametrize(
    ("name", "width"), [("squeezenet", 2), ("shufflenet", 2), ("resnet18", 2), ("mobilenet_v2", 1), ("transformer", 3)]
)
def test_how_many_branches_run_side_by_side(models, name, width):
    assert max(len(level) for level in branch_levels(models[name].graph)) == width


def test_operators_are_named_after_their_layers(models):
    assert [op.name for op in models["squeezenet"].graph.ops[:4]] == [
        "conv1",
        "conv1_relu",
        "conv1_maxpool",
        "fire2/squeeze1x1",
    ]
    assert "layer1.query" in models["transformer"].graph.by_name


def test_folding_changes_no_answer(models):
    inputs = random_inputs(models["squeezenet"])
    folded = evaluate(models["squeezenet"].proto, inputs)
    unfolded = evaluate(build("squeezenet"), inputs)
    assert list(folded) == list(unfolded)
    for name, value in folded.items():
        np.testing.assert_allclose(value, unfolded[name], rtol=1e-4, atol=1e-7)


def test_weights_follow_the_seed(models):
    again, other = (import_model(build("squeezenet", seed=seed), name="squeezenet") for seed in (0, 1))
    assert again.hash == models["squeezenet"].hash
    assert other.hash != again.hash
    assert other.graph == again.graph


def test_unknown_names_are_answered_with_the_known_ones():
    assert len(zoo_names()) == 12
    with pytest.raises(ModelError, match=r"no network 'lenet'; it has bvlc_alexnet, .*, transformer"):
        build("lenet")
