"""The network of the soak: two branches of convolutions, so small that most of the work is the runtime's own."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from hetsim.core.plan import Plan, Segment
from hetsim.models.importer import import_model
from hetsim.models.model import Model
from hetsim.models.networks import IR_VERSION, OPSET, centred_normal

CHANNELS, SIZE = 8, 8


def soak_network(seed: int = 0) -> Model:
    """The network: ``stem`` feeds ``left`` and ``right``, each a convolution and a ReLU; ``join`` adds the two up.

    Args:
        seed: Draws the weights.
    """
    rng = np.random.default_rng(seed)
    shape = (CHANNELS, CHANNELS, 3, 3)
    weights = [numpy_helper.from_array(centred_normal(rng, shape), f"{name}.weight") for name in _CONVOLUTIONS]
    nodes = [
        helper.make_node("Conv", [read, f"{name}.weight"], [name], name, pads=[1, 1, 1, 1])
        for name, read in _CONVOLUTIONS.items()
    ]
    nodes += [helper.make_node("Relu", [name], [f"{name}.relu"], f"{name}.relu") for name in ("left", "right")]
    nodes.append(helper.make_node("Add", ["left.relu", "right.relu"], ["join"], "join"))
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, CHANNELS, SIZE, SIZE]) for name in ("image", "join")
    ]
    graph = helper.make_graph(nodes, "soak", ends[:1], ends[1:], weights)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    return import_model(proto, name="soak")


_CONVOLUTIONS = {"stem": "image", "left": "stem", "right": "stem"}  # by operator, the tensor that it reads


def soak_plan(model: Model) -> Plan:
    """A plan with the left branch on ``cpu`` and the right one on ``npu`` at once; stem and join are on ``cpu``."""
    queues = {"cpu": (("stem",), ("left", "left.relu"), ("join",)), "npu": (("right", "right.relu"),)}
    return Plan(
        model=model.name,
        model_hash=model.hash,
        queues={device: tuple(Segment(device, ops) for ops in queue) for device, queue in queues.items()},
        scheduler="by hand",
    )
