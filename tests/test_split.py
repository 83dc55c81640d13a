"""Splits: rewritten models compute what the originals do, under names that say what they compute."""

from __future__ import annotations

import os

import numpy as np

from hetsim.model import evaluate, random_inputs
from hetsim.model.split import rewrite
from tests.split_networks import random_network, random_splits

SEEDS = range(*map(int, os.environ.get("HETSIM_SPLITS", "0:60").split(":")))
"""Cases to try; HETSIM_SPLITS=0:1000 tries a thousand."""


def test_random_splits_of_random_networks_change_no_output() -> None:
    worst, num_splits = 0.0, 0
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        model = random_network(rng)
        splits = random_splits(model, rng)
        found = rewrite(model, splits)
        num_splits += len(splits)
        wanted = (*model.graph.outputs, *found.joins)
        inputs = random_inputs(model, seed=seed)
        right = evaluate(model.proto, inputs, wanted)
        mine = evaluate(found.model.standalone_proto(), inputs, wanted)
        for name in wanted:
            assert mine[name].shape == right[name].shape == model.graph.tensors[name].shape
            scale = float(np.abs(right[name]).max()) or 1.0
            error = float(np.abs(mine[name] - right[name]).max()) / scale
            assert error <= 1e-5, f"seed {seed}: {name} differs by {error:.1e} after {splits}"
            worst = max(worst, error)
    print(f"{len(SEEDS)} networks, {num_splits} splits, worst error {worst:.1e}")
    assert num_splits >= len(SEEDS)
