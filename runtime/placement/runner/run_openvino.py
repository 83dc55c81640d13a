"""Run this placement of a plan of hetsim's by OpenVINO's HETERO plugin. It takes Python 3.9, openvino and numpy.

    python run.py                                      the example's inputs, 20 inferences; outputs are compared
    python run.py --inputs in.npz --outputs out.npz    your own

OpenVINO's files lose the affinities of nodes, so they are set again by name from affinities.json before compilation.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))  # also where Python is told to ignore this folder

import openvino
from placement_files import FOLDER, Arrays, Json, PlacementError, main


def one_line(error: Exception) -> str:
    """The last line of OpenVINO's messages says what is wrong."""
    return [line for line in str(error).splitlines() if line.strip()][-1]


def open_core(settings: Json) -> Any:
    """OpenVINO with all plugins of the placement.

    Raises:
        PlacementError: If one is not here.
    """
    core = openvino.Core()
    for name, library in settings["plugins"].items():  # a plugin under a second name
        core.register_plugin(library, name)
    here = core.available_devices
    for device, target in settings["targets"].items():
        if not any(name == target or name.startswith(f"{target}.") for name in here):
            raise PlacementError(
                f"device {device!r} of the plan is OpenVINO's {target}, but OpenVINO sees only {', '.join(here)} here"
            )
        core.set_property(target, settings["properties"][target])
    return core


def read_model(core: Any) -> tuple[Any, int]:
    """The model with affinities set, and how many of its nodes had them in the file."""
    model = core.read_model(FOLDER / "model.xml")
    affinities = json.loads((FOLDER / "affinities.json").read_text("utf-8"))
    nodes = model.get_ordered_ops()
    num_with_affinity = sum("affinity" in node.get_rt_info() for node in nodes)
    for node in nodes:
        name = node.get_friendly_name()
        if name not in affinities:
            raise PlacementError(
                f"node {name!r} of model.xml has no affinity in affinities.json; export the plan again"
            )
        node.get_rt_info()["affinity"] = affinities[name]
    return model, num_with_affinity


def read_back(compiled: Any, inputs: Json) -> dict[str, int]:
    """By node, the number of the subgraph in which the engine reports it; nodes that it does not report are absent.

    A plugin fuses nodes: what it ran has the name of one, and lists those of all.
    """
    request = compiled.create_infer_request()
    request.infer(inputs)
    found: dict[str, int] = {}
    for entry in request.profiling_info:
        part, separator, name = entry.node_name.partition(": ")
        found[name if separator else entry.node_name] = int(part[len("subgraph") :]) if separator else 0
    for node in compiled.get_runtime_model().get_ops():
        ran, info = node.get_friendly_name(), node.get_rt_info()
        if ran in found and "originalLayersNames" in info:
            for name in info["originalLayersNames"].astype(str).split(","):
                found.setdefault(name, found[ran])
    return found


def open_engine(settings: Json, wants_read_back: bool) -> tuple[Callable[[Arrays], Arrays], Json]:
    """As :func:`placement_files.main` asks for it."""
    core = open_core(settings)
    model, num_with_affinity = read_model(core)
    targets = list(dict.fromkeys(settings["targets"].values()))
    try:
        compiled = core.compile_model(model, settings["device"])
    except Exception as error:  # the binding raises RuntimeError and several of its own
        raise PlacementError(f"OpenVINO cannot compile it for {settings['device']}: {one_line(error)}") from None
    found: Json = {
        "engine": f"openvino {openvino.__version__.partition('-')[0]}",
        "absent": {},
        "execution_devices": list(compiled.get_property("EXECUTION_DEVICES")),
        "num_submodels": int(compiled.get_property("HETERO_NUMBER_OF_SUBMODELS")),
        "num_affinities_in_file": num_with_affinity,
    }
    request = compiled.create_infer_request()
    names = [port.any_name for port in compiled.inputs]
    if wants_read_back:
        found["supported"] = {target: sorted(core.query_model(model, target)) for target in targets}
        counted = core.compile_model(model, settings["device"], {"PERF_COUNT": "YES"})
        values = {port.any_name: openvino.Tensor(port.element_type, port.shape) for port in counted.inputs}
        found["nodes"] = read_back(counted, values)

    def infer(inputs: Arrays) -> Arrays:
        request.infer({name: inputs[name] for name in names}, share_inputs=True)
        return {name: request.get_tensor(name).data.copy() for name in settings["outputs"]}

    return infer, found


if __name__ == "__main__":
    sys.exit(main(open_engine))
