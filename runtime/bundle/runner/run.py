"""Run this bundle: a plan of hetsim's, without hetsim. It takes Python 3.9, numpy and the engines of manifest.json.

    python run.py                                      the example's inputs, 20 inferences; outputs are compared
    python run.py --inputs in.npz --outputs out.npz    your own

Errors are one line and exit code 2; outputs that differ from the example's end with 1.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))  # also where Python is told to ignore this folder

from bundle_files import Arrays, Bundle, BundleError, Json
from bundle_runner import Runner, work
from output_error import largest_error


def read_inputs(bundle: Bundle, path: Path | None) -> Arrays:
    """The inputs in a file by tensor, or those of the example.

    Raises:
        BundleError: If an input is missing, unknown, or has another type or shape.
    """
    if path is None:
        return bundle.example("inputs")
    try:
        with np.load(path) as archive:
            found = {name: archive[name] for name in archive.files}
    except (OSError, ValueError) as error:
        raise BundleError(f"cannot read inputs {path}: {error}") from None
    for name in found:
        if name not in bundle.inputs:
            raise BundleError(f"{path} has {name!r}, but the model's inputs are {', '.join(bundle.inputs)}")
    for name in bundle.inputs:
        if name not in found:
            raise BundleError(f"{path} lacks the input {name!r}; it has {', '.join(found) or 'nothing'}")
        tensor = bundle.tensors.get(name)
        given = list(found[name].shape), str(found[name].dtype)
        if tensor is not None and given != (tensor["shape"], tensor["dtype"]):
            raise BundleError(
                f"input {name!r} is {given[1]} {given[0]}, but the bundle takes {tensor['dtype']} {tensor['shape']}"
            )
    return found


def interval(samples: list[float]) -> tuple[float, float, float]:
    """The median and its 95 % interval: order statistics by the normal approximation of the binomial distribution."""
    ordered = sorted(samples)
    half = 0.98 * len(ordered) ** 0.5
    low = max(0, int(len(ordered) / 2 - half))
    return float(np.median(ordered)), ordered[low], ordered[len(ordered) - 1 - low]


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="Run this bundle: a plan of hetsim's, without hetsim.")
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).resolve().parent, help="The bundle.")
    parser.add_argument("--inputs", type=Path, metavar="FILE", help="The inputs, as .npz; absent: the example's.")
    parser.add_argument("--outputs", type=Path, metavar="FILE", help="Where to put the outputs, as .npz.")
    parser.add_argument("--runs", type=int, default=20, metavar="N", help="Inferences that are counted.")
    parser.add_argument("--warm-ups", type=int, default=5, metavar="N", help="Inferences before these.")
    parser.add_argument("--json", action="store_true", help="Print the latencies as JSON.")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the caller handles Ctrl-C
        work(options.folder, *map(int, options.worker.split(",")))
        sys.stdout.flush()
        os._exit(0)
    if options.runs < 1 or options.warm_ups < 0:
        raise BundleError("give at least one run, and no negative number of warm-ups")
    bundle = Bundle(options.folder)
    inputs = read_inputs(bundle, options.inputs)
    runner = Runner(bundle)
    try:
        for _ in range(options.warm_ups):
            runner.run(inputs)
        latencies_s = [runner.run(inputs) for _ in range(options.runs)]
        outputs = {name: array.copy() for name, array in runner.outputs.items()}
    finally:
        runner.close()
    if options.outputs is not None:
        with open(options.outputs, "wb") as file:
            np.savez(file, **outputs)
    found: Json = {"latencies_s": latencies_s}
    if options.inputs is None:
        found["error"] = largest_error(outputs, bundle.example("outputs"))
        found["tolerance"] = bundle.manifest["example"]["tolerance"]
    if options.json:
        print(json.dumps(found))
    else:
        print(_said(bundle, latencies_s, found))
    return 0 if found.get("error", 0.0) <= found.get("tolerance", 0.0) else 1


def _said(bundle: Bundle, latencies_s: list[float], found: Json) -> str:
    """What the command says."""
    median, low, high = (f"{1e3 * seconds:.3f}" for seconds in interval(latencies_s))
    lines = [f"{bundle.manifest['model']}: {median} ms ({low} to {high}), {len(latencies_s)} inferences"]
    expected = bundle.manifest.get("expected")
    if expected:
        lines.append(f"expected: {1e3 * expected['seconds']:.3f} ms")
    if "error" in found:
        verdict = "match" if found["error"] <= found["tolerance"] else "DIFFER from"
        lines.append(
            f"outputs {verdict} the reference engine: largest error {found['error']:.1e}, "
            f"tolerance {found['tolerance']:.0e}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BundleError as error:
        print(f"run.py: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
