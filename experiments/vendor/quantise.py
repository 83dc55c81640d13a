"""An 8-bit version of a float network: the same network with pairs of QuantizeLinear and DequantizeLinear.

ONNX Runtime's own quantiser makes it: activations in unsigned 8 bits with ranges from random inputs, weights in signed
8 bits. Ranges from random inputs are good enough to see what an engine takes and how long it takes; a product is
calibrated with real data.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import onnx
import typer
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from hetsim.core.errors import ModelError
from hetsim.models.importer import load_model
from hetsim.models.model import Model, random_inputs
from hetsim.models.reference import one_line
from hetsim.tuner.cli.exits import run_to_exit
from hetsim.tuner.cli.screen import say
from hetsim.tuner.steps.expected_outputs import relative_error

COMMAND = "python -m experiments.vendor.quantise"

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command()
def quantise(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A name of the zoo, or an .onnx file.")],
    out: Annotated[Path, typer.Option("--out", help="Its .onnx file.")],
    samples: Annotated[int, typer.Option(min=1, help="Random inputs that give the ranges.")] = 8,
    seed: Annotated[int, typer.Option(help="Seed of the first of them.")] = 100,
) -> None:
    """Write the 8-bit version of a float network, and say what its outputs lose."""
    found = load_model(model)
    write_quantised(found, out, num_samples=samples, seed=seed)
    say(f"{out}: {model} in 8 bits, ranges from {samples} random inputs")
    loss = max(losses(found, load_model(out), num_samples=samples, seed=seed + samples))
    say(
        f"on the reference engine its outputs differ from the float network's by up to {loss:.1e} of the largest "
        f"value, over {samples} other inputs"
    )


def losses(model: Model, quantised: Model, *, num_samples: int, seed: int) -> list[float]:
    """By random input, how far the outputs of a quantised network are from those of the float network.

    Both are computed by the reference engine; differences are relative to the largest value of an output.

    Raises:
        ModelError: If the reference engine cannot run one of them.
    """
    samples = [random_inputs(model, seed=seed + number) for number in range(num_samples)]
    return [relative_error(quantised.reference_outputs(one), model.reference_outputs(one)) for one in samples]


def write_quantised(model: Model, out: Path, *, num_samples: int = 8, seed: int = 100) -> None:
    """Write the 8-bit version of a float network.

    Args:
        model: The network, not a rewritten one.
        out: The file, which is written whole or not at all.
        num_samples: Random inputs that give the ranges of activations, at least 1.
        seed: Seed of the first of them; the others have the seeds that follow.

    Raises:
        ModelError: If the quantiser cannot take the network.
        OSError: If the file cannot be written.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=out.parent) as folder:
        source, made = Path(folder) / "source.onnx", Path(folder) / "quantised.onnx"
        onnx.save(model.proto, source)
        try:
            quantize_static(
                source,
                made,
                _Samples(random_inputs(model, seed=seed + number) for number in range(num_samples)),
                quant_format=QuantFormat.QDQ,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
            )
        except Exception as error:  # the quantiser raises all kinds
            raise ModelError(f"ONNX Runtime cannot quantise {model.name!r}: {one_line(error)}") from None
        made.replace(out)


class _Samples(CalibrationDataReader):  # type: ignore[misc]
    """Inputs, as the quantiser asks for them."""

    def __init__(self, samples: Iterator[dict[str, Any]]) -> None:
        self._samples = samples

    def get_next(self) -> dict[str, Any] | None:
        return next(self._samples, None)


def main() -> None:
    """Quantise a network; a mistake of the user's becomes one line and exit code 2."""
    run_to_exit(app, command=COMMAND)


if __name__ == "__main__":
    main()
