"""``python -m tests.docs.cli_page``: write docs/cli.md from the commands themselves.

The examples stand here; a test runs them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from hetsim.tuner.cli.app import app

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"
INTRODUCTION = """\
# Commands

`python -m tests.docs.cli_page` writes this page from the commands; a test runs the examples. A mistake is answered in
one line on standard error with exit code 2. A failed device ends with exit code 2 as well, an interrupt with 130.
`hetsim verify` ends with 1 if something diverges.
`hetsim --version` prints the version, `hetsim --install-completion` sets up the shell's completion.

MODEL is an `.onnx` file or a name from `hetsim zoo`.
"""
EXAMPLES = {
    "tune": "hetsim tune squeezenet --out out/squeezenet --rounds 1 --runs 3 --repeats 3 --explorations 2",
    "profile": "hetsim profile squeezenet --out profile.jsonl --repeats 3 --explorations 2",
    "import-profile": "hetsim import-profile trace.csv --model squeezenet --out npu.toml",
    "plan": "hetsim plan squeezenet --profile profile.jsonl --scheduler search --max-evaluations 50 --out plan.json",
    "simulate": "hetsim simulate squeezenet --plan plan.json --profile profile.jsonl --requests 10 --every 33ms",
    "explain": "hetsim explain squeezenet --plan plan.json --profile profile.jsonl --faster 10 --replan 0",
    "convert": "hetsim convert workflow.json --out problem.json --devices cpu,npu --speed npu=2",
    "run": "hetsim run squeezenet --plan plan.json --requests 5 --trace run.trace.json",
    "compare": "hetsim compare squeezenet --plan plan.json --profile profile.jsonl --requests 3",
    "verify": "hetsim verify squeezenet --plan plan.json --device npu --samples 1 --out out/verify",
    "export": "hetsim export squeezenet --plan plan.json --profile profile.jsonl --out out/bundle",
    "zoo": "hetsim zoo",
    "platform": "hetsim platform",
    "platform calibrate": "hetsim platform calibrate cpu+npu --out platform.toml",
}
"""By command, a call of it; those of one file rest on the ones above."""
SETTINGS = """
## Scenario settings

Each setting of `--set` changes one figure of the machine; several hold together, in any order. A value is a figure, or
a factor such as `2x`. What is changed is called hypothetical wherever it is shown.

| setting | changes |
|---|---|
| `npu.speed=4` | the arithmetic of every operator on a device; a launch costs what it cost before |
| `npu.speed.Conv=2`, `npu.speed.op:NAME=2` | the same for one kind of operator, or for one operator |
| `npu.launch_s=1e-5` | the fixed cost of a segment |
| `npu.count=2` | how many of the device there are, named `npu0`, `npu1` |
| `npu.unsupported=Concat,Softmax` | kinds that the device no longer runs |
| `link.cpu->npu.setup_s=1e-6`, `link.cpu->npu.bandwidth=2x`, `link.cpu->npu.speed=2` | hand-overs on one link |
| `handover=2x` | every hand-over takes twice as long |
| `memory.bandwidth=2x` | the bandwidth that the memory sustains for all devices together |
"""


def page() -> str:
    """The page as it should be."""
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    return "\n".join([INTRODUCTION, *(_section(group, name) for name in EXAMPLES)]) + SETTINGS


def _section(group: TyperGroup, name: str) -> str:
    command: TyperCommand | TyperGroup = group
    for part in name.split():
        assert isinstance(command, TyperGroup)
        found = command.commands[part]
        assert isinstance(found, TyperCommand | TyperGroup), name
        command = found
    about = " ".join((command.help or "").split())
    lines = [f"## `hetsim {name}`", "", about, "", "```console", f"$ {EXAMPLES[name]}", "```", ""]
    options = [param for param in command.params if isinstance(param, TyperOption) and param.name != "help"]
    if options:
        lines += ["| option | meaning |", "|---|---|"]
        lines += [f"| {_names(option)} | {_meaning(option)} |" for option in options]
        lines.append("")
    return "\n".join(lines)


def _names(option: TyperOption) -> str:
    names = " / ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    return names if option.is_flag else f"{names} {option.metavar or 'VALUE'}".replace("|", "\\|")


def _meaning(option: TyperOption) -> str:
    default = option.default
    shown = option.required or default in (None, "", (), [], False) or callable(default) or option.is_flag
    note = " Required." if option.required else "" if shown else f" Default: {default}."
    return ((option.help or "").replace("|", "\\|") + note).strip()


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
    sys.stdout.write(f"wrote {PAGE.name}\n")
