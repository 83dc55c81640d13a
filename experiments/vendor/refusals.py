"""Question: which operators, and which groups of them, does the engine of an emulated device refuse?

The vendor's compiler is given every operator of each network by itself, then larger groups up to the whole network;
nothing is executed. ``refusals.csv`` has a line for each network and kind of operator, and one for each group that was
refused although its operators were taken; ``refusals.md`` sums them up, drawn from the CSV alone. ``refusals.json``
says where they come from. A second call skips networks
that have lines, so networks with open sizes can be added one by one with ``--shape``.
"""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from experiments.shared.records import Record, model_label
from hetsim.core.errors import PlatformError
from hetsim.core.platform import Device, Platform
from hetsim.costs.profile import Header, Profile
from hetsim.costs.profile_file import ProfileFile
from hetsim.io.files import write_atomically
from hetsim.io.platform_file import load_platform
from hetsim.models.model import Model
from hetsim.models.reference import one_line
from hetsim.models.zoo import zoo_names
from hetsim.runtime.machine.fingerprint import machine_fingerprint
from hetsim.runtime.measure.acceptance import ask_engines
from hetsim.tuner.cli.exits import run_to_exit
from hetsim.tuner.cli.screen import say
from hetsim.tuner.cli.sources import Bindings, read_model
from hetsim.tuner.steps.readiness import paced_engines

COMMAND = "python -m experiments.vendor.refusals"
GROUP = "group"
"""The kind in lines about groups."""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusalLine:
    """A line of refusals.csv.

    Attributes:
        model: The network.
        device: The emulated device.
        kind: A kind of operator, or :data:`GROUP`.
        num_ops: Operators of that kind in the network, or in the group.
        num_refused: Those of them that the engine refuses in any segment.
        num_refused_alone: Those that it refuses by themselves, but may take in a larger segment.
        reason: What the engine said of the first of them; None if it takes them all.
    """

    model: str
    device: str
    kind: str
    num_ops: int
    num_refused: int
    num_refused_alone: int
    reason: str | None


@app.command()
def refusals(
    out: Annotated[Path, typer.Option("--out", help="Folder for the results; results in it are continued.")],
    models: Annotated[str, typer.Option("--models", metavar="M,...", help="Names of the zoo, or .onnx files.")] = "",
    platform: Annotated[str, typer.Option(metavar="NAME|FILE", help="Has emulated devices.")] = "cpu+qnn-htp",
    shape: Annotated[list[str], typer.Option(metavar="NAME=1,3,224,224", help="Settles an open size.")] = [],  # noqa: B006
) -> None:
    """Ask the engines of emulated devices what they refuse of each network, or of the whole zoo."""
    names = tuple(filter(None, models.split(","))) or zoo_names()
    command = shlex.join((*shlex.split(COMMAND), *sys.argv[1:]))
    lines = measure(names, load_platform(platform), out, shapes=shape, command=command)
    text = as_table(lines)
    write_atomically(out / "refusals.md", text.encode())
    say(text)


def as_table(lines: Sequence[RefusalLine]) -> str:
    """The lines in Markdown, a row for each network."""
    rows = ["| network | operators | refused | refused by themselves | groups refused |", "|---|---|---|---|---|"]
    for model in dict.fromkeys(line.model for line in lines):
        own = [line for line in lines if line.model == model]
        kinds, groups = [line for line in own if line.kind != GROUP], [line for line in own if line.kind == GROUP]
        anywhere = [f"{line.num_refused} of {line.num_ops} {line.kind}" for line in kinds if line.num_refused]
        alone = [f"{line.num_refused_alone} of {line.num_ops} {line.kind}" for line in kinds if line.num_refused_alone]
        sizes = sorted(line.num_ops for line in groups)
        found = f"{len(sizes)}, of {sizes[0]} to {sizes[-1]} operators" if sizes else "none"
        cells = (", ".join(anywhere) or "none", ", ".join(alone) or "none", found)
        rows.append(f"| {model} | {sum(line.num_ops for line in kinds)} | {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def measure(
    models: tuple[str, ...], platform: Platform, out: Path, *, shapes: list[str], command: str = COMMAND
) -> list[RefusalLine]:
    """Ask for each network that has no lines yet; returns all lines.

    Raises:
        PlatformError: If no device's outputs are computed by an engine, or an engine is not installed.
        ModelError: If a network does not exist, or has open sizes.
        OSError: If the folder cannot be written.
    """
    engines = paced_engines(platform)
    if not engines:
        raise PlatformError(
            f"no device of platform {platform.name!r} has both an engine and emulated times; ask with cpu+qnn-htp"
        )
    settings = {"platform": platform.name, **{f"engine of {name}": engine for name, engine in engines.items()}}
    record = Record(out / "refusals.csv", RefusalLine, settings=settings, command=command)
    for name in models:
        if not record.has(model_label(name)):
            say(f"{model_label(name)} ...")
            model = read_model(name, Bindings(shapes, [], []))
            record.add(model, lines_of(model, platform, _asked(model, platform, engines)))
    return record.rows


def lines_of(model: Model, platform: Platform, profile: Profile) -> list[RefusalLine]:
    """The lines of a network, by a profile that holds what its engines refused."""
    return [line for device in platform.paced_devices for line in _lines(model, device, profile)]


def _lines(model: Model, device: Device, profile: Profile) -> list[RefusalLine]:
    anywhere, alone = profile.unsupported(device.name), profile.refused_alone(device.name)
    kinds = Counter(op.kind for op in model.graph.ops)

    def line(kind: str, num_ops: int, refused: int, by_itself: int, reasons: list[str]) -> RefusalLine:
        return RefusalLine(
            model=model.name,
            device=device.label,
            kind=kind,
            num_ops=num_ops,
            num_refused=refused,
            num_refused_alone=by_itself,
            reason=_plain(reasons[0]) if reasons else None,
        )

    found = []
    for kind in sorted(kinds):
        own = [(op.name,) for op in model.graph.ops if op.kind == kind]
        refused, by_itself = [ops for ops in own if ops in anywhere], [ops for ops in own if ops in alone]
        reasons = [*(anywhere[ops] for ops in refused), *(alone[ops] for ops in by_itself)]
        found.append(line(kind, kinds[kind], len(refused), len(by_itself), reasons))
    groups: Mapping[tuple[str, ...], str] = {ops: text for ops, text in alone.items() if len(ops) > 1}
    return found + [line(GROUP, len(ops), 0, len(ops), [text]) for ops, text in groups.items()]


def _plain(reason: str) -> str:
    """The engine's own words, without the device and the segment in front."""
    return one_line(Exception(reason.partition(" refuses segment ")[2].partition(": ")[2] or reason))


def _asked(model: Model, platform: Platform, engines: Mapping[str, str]) -> Profile:
    header = Header(
        model=model.name,
        model_hash=model.hash,
        machine=machine_fingerprint(),
        engines=dict(engines),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    with TemporaryDirectory() as folder, ProfileFile(Path(folder) / "asked.jsonl", header) as file:
        ask_engines(model, platform, file)
        return file.profile


def main() -> None:
    """Run the experiment; a mistake of the user's becomes one line and exit code 2."""
    run_to_exit(app, command=COMMAND)


if __name__ == "__main__":
    main()
