"""Run this placement of a plan of hetsim's by ONNX Runtime. It takes Python 3.9, onnxruntime and numpy, no hetsim.

    python run.py                                      the example's inputs, 20 inferences; outputs are compared
    python run.py --inputs in.npz --outputs out.npz    your own

In an application of your own: the session's options below are all that there is to it.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))  # also where Python is told to ignore this folder

import onnxruntime
from placement_files import FOLDER, Arrays, Json, PlacementError, main

CPU = "CPUExecutionProvider"


def session_options(settings: Json) -> Any:
    """The options of a session, without providers."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # errors are raised
    options.intra_op_num_threads = settings["threads"]
    options.inter_op_num_threads = 1
    for key, value in settings["session_config"].items():
        options.add_session_config_entry(key, value)
    return options


def plugin_devices(entry: Json) -> list[Any]:
    """What the plugin of a provider offers on this machine.

    Raises:
        PlacementError: If the plugin is not installed, cannot be loaded or offers nothing.
    """
    provider, package = entry["provider"], entry["package"]
    if not package:
        raise PlacementError(f"this onnxruntime has no {provider}")
    try:
        library = importlib.import_module(package).get_library_path()
        onnxruntime.register_execution_provider_library(provider, library)
    except ImportError:
        raise PlacementError(f"this onnxruntime has no {provider}, and {package} is not installed") from None
    except Exception as error:  # the binding's exceptions have no common base class
        raise PlacementError(f"{package} cannot be loaded: {error}") from None
    offered = [device for device in onnxruntime.get_ep_devices() if device.ep_name == provider]
    if not offered:
        raise PlacementError(f"{package} is installed, but it finds no device of its own on this machine")
    wanted = entry["hardware"]
    return [one for one in offered if one.ep_metadata.get("ov_device", wanted) == wanted][:1] or offered[:1]


def open_session(settings: Json) -> tuple[Any, dict[str, str]]:
    """A session with all providers that are here, and by device of the plan why its provider is not."""
    options, providers, absent = session_options(settings), [], {}
    for entry in settings["providers"]:
        provider = entry["provider"]
        if provider == CPU:
            continue
        if provider in onnxruntime.get_available_providers():
            providers.append((provider, entry["options"]))
            continue
        try:
            options.add_provider_for_devices(plugin_devices(entry), entry["options"])
        except PlacementError as error:
            absent[entry["device"]] = str(error)
    has_plugin = len(providers) + len(absent) < sum(entry["provider"] != CPU for entry in settings["providers"])
    if has_plugin and providers:
        raise PlacementError("a plugin and a provider that ONNX Runtime was built with cannot be in one session")
    try:
        chosen = {} if has_plugin else {"providers": [*providers, CPU]}
        session = onnxruntime.InferenceSession(FOLDER / "model.onnx", options, **chosen)
    except Exception as error:  # as above
        raise PlacementError(f"ONNX Runtime {onnxruntime.__version__} makes no session of it: {error}") from None
    return session, absent


def open_engine(settings: Json, _read_back: bool) -> tuple[Callable[[Arrays], Arrays], Json]:
    """As :func:`placement_files.main` asks for it."""
    session, absent = open_session(settings)
    names = [output.name for output in session.get_outputs()]
    found = {
        "engine": f"onnxruntime {onnxruntime.__version__}",
        "providers": session.get_providers(),
        "absent": absent,
        "nodes": {
            node.name: part.ep_name
            for part in session.get_provider_graph_assignment_info()
            for node in part.get_nodes()
        },
    }
    return lambda inputs: dict(zip(names, session.run(names, inputs))), found  # noqa: B905  (Python 3.10's)


if __name__ == "__main__":
    sys.exit(main(open_engine))
