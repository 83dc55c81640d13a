"""Models in files, each spread at random over two devices and compared with what ONNX Runtime makes of the file.

    python -m tests.conformance.files FOLDER [--seeds 8] [--open-size 2] [--bindings FILE.json] [--assume nothing]

``NAME.npz`` beside ``NAME.onnx`` holds its inputs; otherwise they are random. An open dimension has ``--open-size``,
unless the JSON file gives shapes or fixed values: ``{"NAME": {"shapes": {"x": [1, 3]}, "fixed": {"sr": 16000}}}``.
The result of each model is one of:

- *right*: every placement computed what the reference does,
- *refused inputs*: as right, but some placements refused the inputs because of what they assume of them,
- *refused*: the model was refused with a reason before anything ran,
- *not comparable*: random numbers go into all outputs,
- *wrong*: a placement computed something else. Then the exit code is 1.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from hetsim.core.deviation import relative_deviation
from hetsim.core.errors import HetsimError, ModelError
from hetsim.io.platform_file import load_platform
from hetsim.models.importer import load_model
from hetsim.models.model import Model, random_inputs
from hetsim.models.values.rounding import rounding_spread
from hetsim.models.values.trust import Trust
from hetsim.runtime import Runtime
from hetsim.tuner.onnx_backend import spread

_TOLERANCE = 1e-4


@dataclass(frozen=True, kw_only=True)
class Result:
    """What came of a model.

    Attributes:
        name: The file's name without its ending.
        status: One of the results above.
        num_ops: Its operators once imported; 0 if it was refused.
        devices: The devices that its placements used.
        reason: Why it was refused, or what was wrong.
    """

    name: str
    status: str
    num_ops: int = 0
    devices: tuple[str, ...] = ()
    reason: str = ""


def check_file(
    runtime: Runtime, path: Path, *, seeds: int = 8, open_size: int = 2, bindings: Mapping[str, Any] | None = None
) -> Result:
    """The result of one file.

    Args:
        runtime: The devices.
        path: The .onnx file.
        seeds: Number of random placements.
        open_size: The size of open dimensions for which ``bindings`` has no shape.
        bindings: ``shapes`` and ``fixed`` of inputs.
    """
    given = bindings or {}
    try:
        model = load_model(
            path,
            shapes={**_open_shapes(path, open_size), **{k: tuple(v) for k, v in given.get("shapes", {}).items()}},
            fixed={name: np.array(value) for name, value in given.get("fixed", {}).items()},
        )
    except ModelError as error:
        return Result(name=path.stem, status="refused", reason=str(error))
    if not model.comparable_outputs:
        return Result(name=path.stem, status="not comparable", num_ops=len(model.graph.ops))
    inputs = path.with_suffix(".npz")
    every = [dict(np.load(inputs))] if inputs.exists() else [random_inputs(model, seed=seed) for seed in range(2)]
    status, reason, devices = "right", "", set()
    for seed in range(seeds):
        try:
            plan = spread(runtime, model, np.random.default_rng(seed))
            devices.update(device for device, queue in plan.queues.items() if queue)
            with runtime.load(model, plan) as session:
                for values in every:
                    difference = _difference(model, values, session.run(values).outputs)
                    if difference:
                        where = ", ".join(f"{device}: {len(queue)}" for device, queue in plan.queues.items())
                        return Result(
                            name=path.stem,
                            status="wrong",
                            num_ops=len(model.graph.ops),
                            devices=tuple(sorted(devices)),
                            reason=f"placement {seed} ({where} segments), {difference}",
                        )
        except ModelError as error:
            status, reason = "refused inputs", str(error)
        except HetsimError as error:
            return Result(name=path.stem, status="wrong", num_ops=len(model.graph.ops), reason=str(error))
    return Result(
        name=path.stem, status=status, num_ops=len(model.graph.ops), devices=tuple(sorted(devices)), reason=reason
    )


def _difference(model: Model, inputs: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    """The output that is wrong, and by how much; empty if none is."""
    right = model.reference_outputs(inputs)
    errors = {name: relative_deviation(found[name], right[name]) for name in model.comparable_outputs}
    name = max(errors, key=lambda name: errors[name])
    if errors[name] <= _TOLERANCE:
        return ""
    explained = rounding_spread(model.proto, inputs, "f32").relative(name)
    return "" if errors[name] <= 2 * explained else f"output {name!r} is off by {errors[name]:.2g} of its largest value"


def _open_shapes(path: Path, size: int) -> dict[str, tuple[int, ...]]:
    """Shapes for the inputs of a file that have open dimensions."""
    try:
        graph = onnx.load(path, load_external_data=False).graph
    except Exception:  # the importer says what is wrong
        return {}
    constants = {tensor.name for tensor in graph.initializer}
    found = {}
    for value in graph.input:
        dims = value.type.tensor_type.shape.dim
        if value.name not in constants and any(not dim.HasField("dim_value") for dim in dims):
            found[value.name] = tuple(dim.dim_value if dim.HasField("dim_value") else size for dim in dims)
    return found


def check_folder(folder: Path, *, finite: bool = True, **options: Any) -> Iterator[Result]:
    """The result of each .onnx file in a folder, by name; ``options`` as for :func:`check_file`."""
    bindings = options.pop("bindings", {})
    with Runtime(load_platform(), trust=Trust(finite=finite)) as runtime:
        for path in sorted(folder.glob("*.onnx")):
            yield check_file(runtime, path, bindings=bindings.get(path.stem), **options)


def main() -> int:
    """Print a table of all files, and return 1 if one was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--open-size", type=int, default=2)
    parser.add_argument("--bindings", type=Path)
    parser.add_argument("--assume", choices=("finite", "nothing"), default="finite")
    args = parser.parse_args()
    bindings = json.loads(args.bindings.read_text()) if args.bindings else {}
    counts: dict[str, int] = {}
    print(f"{'model':28} {'result':15} {'operators':>9}  devices   reason")
    options = {"seeds": args.seeds, "open_size": args.open_size, "bindings": bindings}
    for result in check_folder(args.folder, finite=args.assume == "finite", **options):
        counts[result.status] = counts.get(result.status, 0) + 1
        devices = ",".join(result.devices)
        print(f"{result.name:28} {result.status:15} {result.num_ops:9}  {devices:8}  {result.reason}", flush=True)
    print(", ".join(f"{count} {status}" for status, count in sorted(counts.items())))
    return int("wrong" in counts)


if __name__ == "__main__":
    sys.exit(main())
