"""What a model is: its graph, how it falls apart, where it comes from, and what the right answer is."""

from hetsim.model.graph import Graph, Op, Tensor
from hetsim.model.onnx_import import Model, import_model, load_model, random_inputs
from hetsim.model.reference import evaluate, fold
from hetsim.model.structure import (
    articulation_ops,
    blocks,
    branch_levels,
    branches,
    fused_chains,
    runs,
)
from hetsim.model.zoo import build, zoo_names

__all__ = [
    "Graph",
    "Model",
    "Op",
    "Tensor",
    "articulation_ops",
    "blocks",
    "branch_levels",
    "branches",
    "build",
    "evaluate",
    "fold",
    "fused_chains",
    "import_model",
    "load_model",
    "random_inputs",
    "runs",
    "zoo_names",
]
