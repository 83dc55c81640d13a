"""The speed-up experiment at tiny size, on make-believe devices."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments import speedup
from tests.support.experiments import OPTIONS, platform_in, table
from tests.support.pictures import Pictures


@pytest.fixture(scope="module")
def speedups(results: Path) -> Path:
    """The folder in which the speed-up experiment was called twice."""
    for _ in range(2):
        speedup.measure([str(results / "tiny.onnx")], platform_in(results), results / "speedup", options=OPTIONS)
    return results / "speedup"


def test_every_contender_is_measured_once(speedups: Path, pictures: Pictures) -> None:
    lines = table(speedups / "speedup.csv")
    assert list(lines[0])[:5] == ["model", "platform", "contender", "measured_s", "measured_iqr_s"]
    singles = ["single:cpu", "single:npu"]
    ours = ["ours_without_splits", "ours"]
    assert [line["contender"] for line in lines] == [*singles, "type_based", "individual", "partition_tuner", *ours]
    took = {line["contender"]: float(line["measured_s"]) for line in lines}
    (gain,) = table(speedups / "gains.csv")
    assert float(gain["ideal_s"]) == pytest.approx(1 / (1 / took["single:cpu"] + 1 / took["single:npu"]))
    assert float(gain["efficiency_percent"]) == pytest.approx(100 * float(gain["ideal_s"]) / took["ours"])
    assert gain["published_over_type_based_percent"] == ""
    assert float(gain["splits_percent"]) == pytest.approx(100 * (took["ours_without_splits"] / took["ours"] - 1))
    (axes,) = pictures.axes(speedups / "speedup.png")
    assert axes.x_label.startswith("measured latency / latency of the best single device")
    assert axes.num_bars == len(lines)
    assert (speedups / "tiny/report.html").exists()


def test_gains_by_hand() -> None:
    seconds = {"single:cpu": 6.0, "single:npu": 3.0, "type_based": 5.0, "individual": 4.0, "partition_tuner": 4.0}
    seconds |= {"ours_without_splits": 3.0, "ours": 2.5, "reference:engine_2_threads": 2.0}
    lines = [
        speedup.SpeedupLine(
            model="squeezenet",
            platform="desk",
            contender=contender,
            measured_s=each_s,
            measured_iqr_s=0.1,
            measured_low_s=each_s - 0.1,
            measured_high_s=each_s + 0.1,
            num_segments=1,
            num_devices=1,
            devices="cpu, npu (stand-in)",
        )
        for contender, each_s in seconds.items()
    ]
    (gain,) = speedup.gains(lines)
    assert gain.over_best_single_percent == pytest.approx(20.0)
    assert gain.over_partition_tuner_percent == pytest.approx(60.0)
    assert gain.over_best_reference_percent == pytest.approx(-20.0)
    assert gain.splits_percent == pytest.approx(20.0)
    assert gain.ideal_s == pytest.approx(2.0)
    assert gain.efficiency_percent == pytest.approx(80.0)
    assert gain.partition_tuner_over_type_based_percent == pytest.approx(25.0)
    assert gain.partition_tuner_over_individual_percent == pytest.approx(0.0)
    assert (gain.published_over_type_based_percent, gain.published_over_individual_percent) == (5.03, 2.73)
    texts = speedup.format_gains([gain])
    assert "ours 2500.00 ms; +20.0 % over the best single device" in texts[0]
    assert texts[0].endswith("co-execution efficiency 80.0 %")
    assert texts[1] == "over the best single device: 1.200 times as fast, geometric mean of 1"
