"""Commands start quickly, measured against what they cannot do without: ratios of medians, taken in turns."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import pytest

from tests.support.planning.table_problem import PROBLEM

MAIN = "from hetsim.tuner.cli.app import main; main()"
PLAN = ["plan", "--problem", "problem.json", "--scheduler", "heft", "--out", "plan.json"]


def elapsed_s(args: list[str], cwd: Path) -> float:
    started_s = time.perf_counter()
    subprocess.run([sys.executable, "-c", *args], cwd=cwd, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started_s


@pytest.mark.slow
@pytest.mark.parametrize(
    ("args", "base", "limit"),
    [(["--help"], "import typer, rich", 4.0), (PLAN, "import networkx, numpy, typer, rich", 2.0)],
    ids=["help", "plan"],
)
def test_commands_start_in_a_small_multiple_of_their_imports(
    tmp_path: Path, args: list[str], base: str, limit: float
) -> None:
    (tmp_path / "problem.json").write_text(json.dumps(PROBLEM))
    ratios = []
    for _ in range(3):  # a busy machine gets further tries
        pairs = [(elapsed_s([MAIN, *args], tmp_path), elapsed_s([base], tmp_path)) for _ in range(10)]
        ratios.append(median(pair[0] for pair in pairs) / median(pair[1] for pair in pairs))
        if ratios[-1] <= limit:
            break
    print(f"ratios {ratios}")
    assert min(ratios) <= limit, ratios
