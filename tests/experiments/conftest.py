"""Results of experiments at tiny size that several test modules look at."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onnx
import pytest

from experiments.npu_speed.command import vary
from experiments.simulated_vs_measured import compare
from tests.support.experiments import NUM_RANDOM, OPTIONS, PLATFORM, SWEEP, platform_in
from tests.support.models import fork_join
from tests.support.pictures import Pictures, recorded_pictures


@pytest.fixture(scope="package", autouse=True)
def pictures() -> Iterator[Pictures]:
    """Every picture that a test of experiments has drawn."""
    with recorded_pictures() as recorded:
        yield recorded


@pytest.fixture(scope="package")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, a platform, and both experiments' results on them."""
    folder = tmp_path_factory.mktemp("results")
    onnx.save(fork_join().proto, folder / "tiny.onnx")
    (folder / "desk.toml").write_text(PLATFORM)
    compare([str(folder / "tiny.onnx")], platform_in(folder), folder / "out", options=OPTIONS, num_random=NUM_RANDOM)
    vary([str(folder / "tiny.onnx")], platform_in(folder), folder / "out", SWEEP, options=OPTIONS)
    return folder
