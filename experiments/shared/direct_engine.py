"""An engine called directly, without anything of hetsim: the baseline of :mod:`experiments.runtime_overhead`.

It runs in a process of its own: ``python -m experiments.shared.direct_engine ENGINE MODEL.onnx INPUTS.npz CORE``. For
each number on its standard input, it runs the model that many times and prints the seconds of each run as a JSON list.
Each engine is called as in its own tutorial, with one thread on one core.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable

import numpy as np


def onnxruntime_call(model_path: str, inputs: dict[str, np.ndarray]) -> Callable[[], object]:
    """A function that does one inference by ONNX Runtime's ``InferenceSession.run``."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model_path, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, inputs)


def openvino_call(model_path: str, inputs: dict[str, np.ndarray]) -> Callable[[], object]:
    """A function that does one inference by OpenVINO's ``InferRequest.infer``, with the inputs set beforehand."""
    import openvino

    settings = {
        "INFERENCE_NUM_THREADS": "1",
        "NUM_STREAMS": "1",
        "INFERENCE_PRECISION_HINT": "f32",
        "ENABLE_CPU_PINNING": "NO",
    }
    request = openvino.Core().compile_model(model_path, "CPU", settings).create_infer_request()
    for name, array in inputs.items():
        request.set_tensor(name, openvino.Tensor(array))
    return lambda: request.infer()


CALLS = {"onnxruntime": onnxruntime_call, "openvino": openvino_call}


def main() -> None:
    """Run the model on demand until the standard input ends."""
    engine, model_path, inputs_path, core = sys.argv[1:]
    os.sched_setaffinity(0, {int(core)})
    with np.load(inputs_path) as arrays:
        call = CALLS[engine](model_path, dict(arrays))
    for line in sys.stdin:
        seconds = []
        for _ in range(int(line)):
            start_s = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - start_s)
        print(json.dumps(seconds), flush=True)


if __name__ == "__main__":
    main()
