"""The documentation's code runs: with a tiny model and make-believe devices in the place of those it names."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from hetsim.core.platform import Calibration
from hetsim.io.platform_file import format_platform
from tests.support.models import fake_platform, fork_join

DOCS = Path(__file__).parents[2] / "docs"


def test_the_python_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.chdir(tmp_path)
    onnx.save(fork_join().proto, "tiny.onnx")
    calibration = Calibration(date="2025-01-01T00:00:00+00:00", machine="make-believe", num_samples=1)
    Path("fake.toml").write_text(format_platform(replace(fake_platform(), calibration=calibration)))
    blocks = re.findall(r"^```python\n(.*?)^```$", (DOCS / "python.md").read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 6
    scope: dict[str, object] = {"__name__": "docs"}
    for block in blocks:
        description = block.replace('load_model("squeezenet")', 'load_model("tiny.onnx")').replace(
            '"cpu+npu"', '"fake.toml"'
        )
        exec(compile(description, "docs/python.md", "exec"), scope)
    said = capsys.readouterr().out
    assert "measured best; outputs match: True" in said
    assert "8 requests, the slowest" in said
    assert "squeezenest" in said
    # a on the cpu 1, b 2, d .5, while c on the npu is back at 1 + .25 + 1 + .25 + 512 / 16384 = 2.53 < 3.
    assert "heft: 3.5 s\nios: 3.5 s\nsearch: 3.5 s" in said
    assert (tmp_path / "out/squeezenet/report.html").exists()
