"""The comparison that ends an import: the model that came out computes what the user's own model computes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hetsim.core.deviation import deviation, relative_deviation
from hetsim.core.errors import ModelError
from hetsim.models.importing.onnx_graph import label
from hetsim.models.model import Model, random_inputs
from hetsim.models.reference import evaluate
from hetsim.models.source import Source
from hetsim.models.values.rounding import rounding_spread

_SEEDS = (0, 1)

_TOLERANCE = {"float16": 2e-2, "float32": 1e-3, "float64": 1e-9}
"""By type, the relative error that folding a normalisation into a convolution explains, deep in a network."""


def check_same(model: Model, source: Source) -> None:
    """Compare an imported model with the user's own on random inputs.

    Random integers may be values that the model is not for, so that it does not run; this says nothing.

    Raises:
        ModelError: If they differ, with the first tensor that does; or if the model runs on no inputs.
    """
    comparable = set(model.comparable_outputs)
    for seed in _SEEDS:
        inputs = random_inputs(model, seed=seed)
        names = list(model.graph.outputs)
        try:
            right = source.outputs(inputs, names)
        except ModelError:
            if all(np.dtype(model.graph.tensors[name].dtype).kind == "f" for name in inputs):
                raise
            continue
        found = evaluate(model.proto, inputs, custom_ops=source.custom_ops)
        differing = [name for name in comparable if _differs(found[name], right[name])]
        if differing and not _is_rounding(model, inputs, found, right, differing):
            raise ModelError(_first_difference(model, source, inputs))


def _is_rounding(
    model: Model, inputs: Mapping[str, Any], found: Mapping[str, Any], right: Mapping[str, Any], names: list[str]
) -> bool:
    """Whether rounding errors in every operator move the outputs as far as they differ."""
    spread = rounding_spread(model.proto, inputs, "f32", custom_ops=model.custom_ops)
    return all(relative_deviation(found[name], right[name]) <= 2 * spread.relative(name) for name in names)


def _first_difference(model: Model, source: Source, inputs: Mapping[str, Any]) -> str:
    """The first operator of the imported model whose output differs, in one line."""
    theirs = {tensor for node in source.load().graph.node for tensor in node.output} if source.load else set()
    for node in model.proto.graph.node:
        for tensor in filter(None, node.output):
            if tensor not in theirs:
                continue
            try:
                found = evaluate(model.proto, inputs, [tensor], custom_ops=source.custom_ops)[tensor]
                right = source.outputs(inputs, [tensor])[tensor]
            except ModelError:
                continue
            if _differs(found, right):
                return (
                    f"the import would change tensor {tensor!r} of operator {label(node)}: "
                    f"{deviation(np.asarray(found), np.asarray(right))}; please report this model"
                )
    return "the import would change its outputs; please report this model"


def _differs(found: Any, right: Any) -> bool:
    if isinstance(right, list):
        same = isinstance(found, list) and len(found) == len(right)
        return not same or any(_differs(a, b) for a, b in zip(found, right, strict=True))
    if right is None or found is None:
        return found is not right
    right = np.asarray(right)
    return deviation(np.asarray(found), right).exceeds(_TOLERANCE.get(right.dtype.name, 0.0))
