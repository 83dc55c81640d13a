"""Compares a rewritten model with the original on the reference engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from hetsim.core.plan import Split
from hetsim.models.model import Model
from hetsim.models.reference import evaluate
from hetsim.models.split.rewrite import rewrite


def first_difference(
    model: Model, splits: Sequence[Split], inputs: Mapping[str, np.ndarray], *, tolerance: float = 1e-5
) -> str | None:
    """The first tensor, in topological order, that the rewritten model computes differently; None if there is none.

    The model's outputs and the joined outputs of runs are compared.

    Args:
        model: The model.
        splits: The splits that it is rewritten with.
        inputs: A value for each of its inputs.
        tolerance: Largest difference that counts as rounding, relative to the largest absolute value of the tensor.

    Raises:
        PlanError: If a split is impossible.
        ModelError: If the reference engine cannot run one of the models.
    """
    found = rewrite(model, splits)
    base = model.base or model
    wanted = sorted({*found.joins, *base.graph.outputs}, key=lambda t: base.graph.position[base.graph.producer[t]])
    right = evaluate(base.proto, inputs, wanted)
    mine = evaluate(found.model.standalone_proto(), inputs, wanted)
    for tensor in wanted:
        scale = float(np.abs(right[tensor]).max(initial=0.0)) or 1.0
        if mine[tensor].shape != right[tensor].shape:
            return tensor
        if not float(np.abs(mine[tensor] - right[tensor]).max(initial=0.0)) <= tolerance * scale:  # NaN differs, too
            return tensor
    return None
