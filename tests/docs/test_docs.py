"""The documentation's code and commands run: with a tiny model and fake devices in the place of those they name."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from hetsim.core.platform import Calibration
from hetsim.io.platform_file import format_platform
from tests.docs import cli_page
from tests.support.models import fake_platform, fork_join
from tests.support.planning.task_graphs import WORKFLOW as WORKFLOW
from tests.support.programs.commands import hetsim_in_process
from tests.support.vendor_profiles import optrace

DOCS = Path(__file__).parents[2] / "docs"
NEEDS_DEVICES = ("tune", "profile", "run", "compare", "plan", "simulate", "explain", "verify", "export")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the pages name: a model, a calibrated platform, a workflow, a trace."""
    monkeypatch.chdir(tmp_path)
    onnx.save(fork_join().proto, "model.onnx")
    calibration = Calibration(date="2025-01-01T00:00:00+00:00", machine="make-believe", num_samples=1)
    Path("platform.toml").write_text(format_platform(replace(fake_platform(), calibration=calibration)))
    Path("workflow.json").write_text(json.dumps(WORKFLOW))
    Path("trace.csv").write_text(optrace({f"{op.name}_token_1_2:OpId_7": 10 for op in fork_join().graph.ops}))
    return tmp_path


def commands(page: str) -> list[str]:
    blocks = re.findall(r"^```console\n(.*?)^```$", (DOCS / page).read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return [line.removeprefix("$ ") for block in blocks for line in block.splitlines() if line.startswith("$ ")]


@pytest.mark.parametrize(("page", "least"), [("tutorial.md", 8), ("cli.md", 8), ("application.md", 2)])
def test_every_command_runs(page: str, least: int, folder: Path) -> None:
    found = commands(page)
    assert len(found) >= least
    for command in found:
        program, *args = shlex.split(command.replace("squeezenet", "model.onnx"))
        assert program == "hetsim"
        if args[:2] == ["platform", "calibrate"]:
            continue  # it measures real engines, which tests/runtime does
        if args[0] in NEEDS_DEVICES and "--platform" not in args:
            args += ["--platform", "platform.toml"]
        done = hetsim_in_process(*args, cwd=folder)
        assert done.returncode == 0, f"{command}\n{done.stderr}"


def test_the_page_of_commands_is_up_to_date() -> None:
    assert cli_page.PAGE.read_text("utf-8") == cli_page.page(), "run python -m tests.docs.cli_page"


def test_the_python_page_runs(folder: Path, capsys: pytest.CaptureFixture) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", (DOCS / "python.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 6
    scope: dict[str, object] = {"__name__": "docs"}
    for block in blocks:
        text = block.replace('load_model("squeezenet")', 'load_model("model.onnx")').replace(
            '"cpu+npu"', '"platform.toml"'
        )
        exec(compile(text, "docs/python.md", "exec"), scope)
    said = capsys.readouterr().out
    assert "measured best; outputs match: True" in said
    assert "8 requests, the slowest" in said
    assert "squeezenest" in said
    # a on the cpu 1, b 2, d .5, while c on the npu is back at 1 + .25 + 1 + .25 + 512 / 16384 = 2.53 < 3.
    assert "heft: 3.5 s\nios: 3.5 s\nsearch: 3.5 s" in said
    assert (folder / "out/squeezenet/report.html").exists()
