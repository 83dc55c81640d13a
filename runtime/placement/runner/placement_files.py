"""What both run.py of a placement need: its settings, values by tensor, and times."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from output_error import largest_error

Arrays = dict[str, Any]
Json = dict[str, Any]
Engine = Callable[[Json, bool], tuple[Callable[[Arrays], Arrays], Json]]
"""From the settings, and whether a read-back is wanted, to a function from inputs to outputs, by tensor, and what the
engine says of the placement."""

FOLDER = Path(__file__).resolve().parent
VERSION = 1


class PlacementError(Exception):
    """Something that a person can mend; one line."""


def read_settings() -> Json:
    """settings.json.

    Raises:
        PlacementError: If it cannot be read, or is of a newer version.
    """
    try:
        settings: Json = json.loads((FOLDER / "settings.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise PlacementError(f"cannot read {FOLDER / 'settings.json'}: {error}") from None
    if settings.get("format") != "hetsim-placement" or settings.get("version", 0) > VERSION:
        raise PlacementError(
            f"settings.json is {settings.get('format')!r} of version {settings.get('version')}, but this run.py reads "
            f"'hetsim-placement' up to version {VERSION}; export the plan again"
        )
    return settings


def read_arrays(path: Path) -> Arrays:
    """The arrays of an .npz file by name.

    Raises:
        PlacementError: If it cannot be read.
    """
    try:
        with np.load(path) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError) as error:
        raise PlacementError(f"cannot read {path}: {error}") from None


def check_inputs(given: Arrays, wanted: Arrays, path: Path) -> None:
    """Check that there is an array of the right type and shape for each input of the model.

    Raises:
        PlacementError: If one is missing, unknown, or of another type or shape.
    """
    if set(given) != set(wanted):
        raise PlacementError(
            f"{path} has {', '.join(sorted(given)) or 'nothing'}, but the model's inputs are {', '.join(wanted)}"
        )
    for name, example in wanted.items():
        if (given[name].dtype, given[name].shape) != (example.dtype, example.shape):
            raise PlacementError(
                f"input {name!r} is {given[name].dtype} {list(given[name].shape)}, but the model takes "
                f"{example.dtype} {list(example.shape)}"
            )


def pin(cores: list[int]) -> None:
    """Keep this process on the cores, where all of them exist."""
    if cores and hasattr(os, "sched_setaffinity"):
        try:
            os.sched_setaffinity(0, cores)
        except OSError:
            raise PlacementError(f"this machine lacks one of the cores {cores}; change settings.json") from None


def main(open_engine: Engine) -> int:
    """Run the placement as the command line asks; the exit code."""
    parser = argparse.ArgumentParser(description="Run a plan of hetsim's by the engine alone.")
    parser.add_argument("--inputs", type=Path, help="an .npz file with an array for each input")
    parser.add_argument("--outputs", type=Path, help="where to write the outputs, an .npz file")
    parser.add_argument("--runs", type=int, default=20, help="how many inferences are timed")
    parser.add_argument("--json", action="store_true", help="print everything as JSON, the read-back included")
    args = parser.parse_args()
    try:
        found = _run(open_engine, args)
    except PlacementError as error:
        print(f"run.py: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    if args.json:
        print(json.dumps(found))
    else:
        times_s = sorted(found["latencies_s"])
        print(f"{found['engine']}: median {times_s[len(times_s) // 2] * 1e3:.3f} ms of {len(times_s)} inferences")
        for device, reason in found["absent"].items():
            print(f"device {device!r} of the plan is not here: {reason}")
    if "error" in found and not found["error"] <= found["tolerance"]:
        print(f"outputs differ from the example's by {found['error']:.2e}", file=sys.stderr)
        return 1
    return 0


def _run(open_engine: Engine, args: argparse.Namespace) -> Json:
    if args.runs < 1:
        raise PlacementError(f"--runs is {args.runs}; give at least 1")
    settings = read_settings()
    example = read_arrays(FOLDER / "inputs.npz")
    source = FOLDER / "inputs.npz" if args.inputs is None else args.inputs
    inputs = read_arrays(source)
    check_inputs(inputs, example, source)
    pin(settings["cores"])
    infer, found = open_engine(settings, args.json)
    for _ in range(3):
        outputs = infer(inputs)
    found["latencies_s"], found["cpu_times_s"] = [], []
    for _ in range(args.runs):
        start_s, start_cpu_s = time.perf_counter(), time.process_time()
        infer(inputs)
        found["latencies_s"].append(time.perf_counter() - start_s)
        found["cpu_times_s"].append(time.process_time() - start_cpu_s)
    if args.inputs is None:
        expected = read_arrays(FOLDER / "outputs.npz")
        found.update(error=largest_error(outputs, expected), tolerance=settings["tolerance"])
    if args.outputs is not None:
        np.savez(args.outputs, **outputs)
    return found
