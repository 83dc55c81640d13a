"""The report: what the summary holds, what the screen and the page say, and that both take odd names as they are."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from hetsim.analysis.breakdown import Assignment, Breakdown, DeviceTime
from hetsim.core.statistics import Estimate
from hetsim.tuner.report.html import write_html
from hetsim.tuner.report.outcome import Outcome, PlanOutcome
from hetsim.tuner.report.screen import print_outcome
from hetsim.tuner.report.summary import summary
from hetsim.tuner.report.wording import verdict


def plan(name: str, measured_s: float, *, half_width_s: float = 1e-4, num_devices: int = 2) -> PlanOutcome:
    return PlanOutcome(
        name=name,
        simulated_s=measured_s * 1.02,
        measured_s=measured_s,
        measured_iqr_s=2 * half_width_s,
        measured_low_s=measured_s - half_width_s,
        measured_high_s=measured_s + half_width_s,
        num_segments=7,
        num_devices=num_devices,
    )


OUTCOME = Outcome(
    model="inception_v2",
    platform="cpu+npu",
    plans=(
        plan("single:cpu", 0.0180, num_devices=1),
        plan("single:npu", 0.0175, num_devices=1),
        plan("partition_tuner", 0.0149),
        plan("search", 0.0140),
    ),
    best_single_device_s=0.0175,
    winner="search",
    outputs_match=True,
    largest_error=3.1e-7,
    tolerance=1e-6,
    assignments=(
        Assignment(device="cpu", label="cpu", num_ops=60, total_ops=164, num_segments=3, busy_share=0.71),
        Assignment(device="npu", label="npu (stand-in)", num_ops=104, total_ops=164, num_segments=4, busy_share=0.9),
    ),
    where=Breakdown(
        makespan_s=0.014,
        devices=(
            DeviceTime(
                device="npu", label="npu (stand-in)", num_segments=4, compute_s=0.01, launch_s=0.001,
                hand_over_s=0.001, waiting_s=0.002,
            ),
        ),
    ),
    reference_engines_s={"cpu": 0.0101, "npu (stand-in)": 0.0095},
    reference_threads=2,
    num_samples=200,
    seed=7,
    machine="Some processor, 2 cores",
    versions={"hetsim": "0.1.0"},
    command=("hetsim", "tune", "a model.onnx", "--out", "out"),
)  # fmt: skip


def screen(outcome: Outcome, width: int = 80) -> str:
    buffer = io.StringIO()
    print_outcome(outcome, Console(file=buffer, width=width, color_system=None))
    return buffer.getvalue()


def test_summary_has_the_promised_keys_and_survives_json() -> None:
    found = json.loads(json.dumps(summary(OUTCOME), allow_nan=False))
    assert found["plans"]["search"]["measured_s"] == 0.0140
    assert set(found["plans"]["search"]) >= {"simulated_s", "measured_s", "measured_iqr_s", "num_segments"}
    assert list(found["plans"]) == ["single:cpu", "single:npu", "partition_tuner", "search"]
    wanted = {"winner": "search", "best_single_device_s": 0.0175, "outputs_match": True, "largest_error": 3.1e-7}
    assert wanted.items() <= found.items()
    assert found["speed_up"] == pytest.approx(1.25)


def test_screen_says_who_runs_what_where_time_goes_and_what_to_do() -> None:
    text = screen(OUTCOME)
    assert "npu (stand-in): 104 of 164 operators, 90 % of the time" in text
    assert "cpu alone with 2 threads: 10.10 ms" in text
    assert "Outputs match the reference engine: largest error 3.1e-07, tolerance 1e-06." in " ".join(text.split())
    assert "Run the plan of search: 14.00 ms, 1.25 times as fast" in text
    assert "10.00 (71 %)" in text


def test_plan_table_fits_80_columns_without_cutting_anything() -> None:
    text = screen(OUTCOME)
    assert "\N{HORIZONTAL ELLIPSIS}" not in text
    assert re.search(r"search +14\.28 +14\.00 +13\.90\N{EN DASH}14\.10 +\+2\.0 % +1\.25 +7 +best", text)


def test_outputs_that_differ_are_not_played_down() -> None:
    said = screen(replace(OUTCOME, outputs_match=False, largest_error=0.5, rejected={"type_based": 0.5}))
    assert "OUTPUTS DIFFER" in said
    assert "Rejected: type_based (5.0e-01)." in " ".join(said.split())


def test_single_device_as_winner_means_stay_there() -> None:
    description = verdict(replace(OUTCOME, plans=OUTCOME.plans[:2], winner="single:npu"))
    assert description.startswith("Stay on one device: single:npu, 17.50 ms")


def test_what_is_shown_to_be_a_tie_and_what_is_undecided_is_said_with_its_interval() -> None:
    other = replace(plan("type_based", 0.01405), ratio=Estimate(1.003, 0.999, 1.008))
    plans = (*OUTCOME.plans[:2], other, plan("search", 0.0140))
    shown = "type_based takes 1.003 times as long (0.999\N{EN DASH}1.008)."
    tied = replace(OUTCOME, plans=plans, tied=("type_based",))
    assert f"Shown to be within 1 %: {shown}" in verdict(tied)
    assert [tied.mark(plan.name) for plan in plans] == ["", "", "tie", "best"]
    undecided = replace(OUTCOME, plans=plans, undecided=("type_based",))
    assert f"Undecided, so the lower median counts: {shown}" in verdict(undecided)
    assert "within 1 %" not in verdict(undecided)
    assert re.search(r"type_based .* undecided", screen(undecided))
    long = replace(undecided, plans=(*plans, plan("partition_tuner", 0.12345)), undecided=("partition_tuner",))
    assert "\N{HORIZONTAL ELLIPSIS}" not in screen(long)  # nothing is cut off in 80 columns


def test_winner_must_be_among_the_plans() -> None:
    with pytest.raises(ValueError, match="winner 'heft' is not among the plans"):
        replace(OUTCOME, winner="heft")
    with pytest.raises(ValueError, match="winner 'peft' is not among the plans"):
        replace(OUTCOME, tied=("peft",))
    with pytest.raises(ValueError, match="winner 'peft' is not among the plans"):
        replace(OUTCOME, undecided=("peft",))


def test_page_is_self_contained_and_escapes_names(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    write_html(replace(OUTCOME, model="<b>&'model'"), page)
    text = page.read_text("utf-8")
    assert "&lt;b&gt;&amp;&#x27;model&#x27; on cpu+npu" in text
    assert "<b>&" not in text
    assert not re.search(r"(src|href)=[\"'](?!#)", text)
    assert not re.search(r"https?:|url\(|@import", text)
    assert "hetsim tune &#x27;a model.onnx&#x27; --out out" in text
    assert text.count("<table ") == text.count("</table>") == 2  # plans and engines


def test_odd_names_do_not_become_markup_on_the_screen() -> None:
    assert "[red]odd[/red] on cpu+npu" in screen(replace(OUTCOME, model="[red]odd[/red]"), width=120)


def test_empty_extras_leave_their_sections_out(tmp_path: Path) -> None:
    bare = replace(OUTCOME, assignments=(), where=None, reference_engines_s={}, versions={}, command=())
    write_html(bare, tmp_path / "report.html")
    assert "Who runs what" not in (tmp_path / "report.html").read_text("utf-8")
    assert "Who runs what" not in screen(bare)
