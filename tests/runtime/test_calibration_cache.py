"""When a cached calibration is used, and what is said when it is not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from hetsim.core.platform import Calibration, Platform
from hetsim.runtime.measure import calibrate as measuring
from hetsim.runtime.measure.calibration_cache import calibrated
from tests.support.models import fake_platform

PLATFORM = fake_platform()


class Bench:
    """Devices on which calibrating is counted, and contradicts what it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.platform, self.engines = PLATFORM, {"cpu": "fake 1", "npu": "fake 1"}
        self.contradiction = ""
        self.num_calibrations = 0
        self.said: list[str] = []
        self._folder = folder
        monkeypatch.setattr("hetsim.runtime.measure.calibration_cache.calibrate", self._calibrate)
        monkeypatch.setattr("hetsim.runtime.measure.calibration_cache.contradiction", lambda *_: self.contradiction)

    def _calibrate(self, runtime: SimpleNamespace, **_: object) -> Platform:
        self.num_calibrations += 1
        date = f"2026-11-{self.num_calibrations:02}"
        return replace(runtime.platform, calibration=Calibration(date=date, machine="here", num_samples=3))

    def calibrated(self, *, recalibrate: bool = False) -> Platform:
        runtime = SimpleNamespace(platform=self.platform, engines=self.engines)
        self.said.clear()
        return calibrated(runtime, recalibrate=recalibrate, folder=self._folder, say=self.said.append)  # type: ignore[arg-type]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Bench:
    return Bench(monkeypatch, tmp_path / "cache")


def test_a_calibration_is_made_once_and_said_to_be_cached(bench: Bench) -> None:
    first = bench.calibrated()
    assert bench.said == []
    assert bench.calibrated() == first
    assert bench.said == ["the calibration of 2026-11-01 still holds (--recalibrate measures anew)"]
    assert bench.num_calibrations == 1
    assert bench.calibrated(recalibrate=True) != first
    assert bench.num_calibrations == 2
    assert bench.calibrated().calibration.date == "2026-11-02"  # type: ignore[union-attr]


def test_a_calibration_of_something_else_is_not_used_and_it_is_said_why(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.calibrated()
    bench.engines = {"cpu": "fake 1", "npu": "fake 2"}
    bench.calibrated()
    assert "npu as 'fake 1, any core'; here it is 'fake 2, any core'" in bench.said[0]
    bench.platform = PLATFORM.with_devices(replace(PLATFORM.device("npu"), threads=2))
    bench.calibrated()
    assert "the platform of that name is described otherwise now" in bench.said[0]
    monkeypatch.setattr("hetsim.runtime.measure.calibration_cache.machine_fingerprint", lambda: "another")
    bench.calibrated()
    assert "it was taken on another machine" in bench.said[0]
    bench.contradiction = "launching on npu takes 30.0 us, and took 9.0"
    bench.calibrated()
    assert bench.said == ["the calibration of 2026-11-04 is not used: launching on npu takes 30.0 us, and took 9.0"]
    assert bench.num_calibrations == 5


@pytest.mark.parametrize("content", [b"", b"{", b'{"origin": 1}', b'{"origin":{"machine":"x"},"calibrated":"name"}'])
def test_a_file_that_cannot_be_read_is_replaced(bench: Bench, tmp_path: Path, content: bytes) -> None:
    bench.calibrated()
    (path,) = (tmp_path / "cache").iterdir()
    path.write_bytes(content)
    assert bench.calibrated().calibration.date == "2026-11-02"  # type: ignore[union-attr]
    assert bench.calibrated().calibration.date == "2026-11-02"  # type: ignore[union-attr]


def test_a_folder_that_cannot_be_written_caches_nothing(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    bench.calibrated()
    bench.calibrated()
    assert bench.num_calibrations == 2


@pytest.mark.parametrize(
    ("launch_s", "says"),
    [
        (10e-6, ""),
        (14e-6, ""),  # as far off as few rounds may be
        (30e-6, "launching on npu takes 30.0 us, and took 10.0"),
        (1e-6, "launching on npu takes 1.0 us, and took 10.0"),
    ],
)
def test_what_a_short_measurement_contradicts(monkeypatch: pytest.MonkeyPatch, launch_s: float, says: str) -> None:
    before = PLATFORM.with_devices(*(replace(device, launch_s=10e-6) for device in PLATFORM.devices))
    monkeypatch.setattr(measuring, "_in_rounds", lambda *_: {("cpu",): [], ("npu",): []})
    monkeypatch.setattr(measuring, "_median_step_s", lambda _, name: launch_s if name == "npu" else 10e-6)
    assert measuring.contradiction(SimpleNamespace(platform=PLATFORM), before) == says  # type: ignore[arg-type]
