"""The page in a real browser: its widths, its hints, and that plans, zoom and colours change."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from hetsim.analysis.breakdown import Assignment, breakdown
from hetsim.core.platform import Device, Platform
from hetsim.core.timeline import Origin, Span, Timeline
from hetsim.tuner.report.executed import ExecutedPlan
from hetsim.tuner.report.html import write_html
from hetsim.tuner.report.outcome import Outcome, PlanOutcome
from tests.support.problems import graph_of
from tests.support.programs.browser import Browser, find_browser

HOSTILE = "evil</script><script>alert(1)</script><img src=x onerror=alert(2)>"
LONG = "a_module/with/a/very/long/path/and/no/place/to/break/it/" + "x" * 120
OPS = ("conv1", "relu1", HOSTILE, LONG, "pool1", "dense")
GRAPH = graph_of({op: OPS[max(0, number - 1) : number] for number, op in enumerate(OPS)})
PLATFORM = Platform(
    name="cpu+npu",
    devices=(
        Device(name="cpu", kind="cpu", backend="fake"),
        Device(name="npu", kind="npu", backend="fake", nature="stand-in"),
    ),
)


def timeline(origin: Origin, segments: list[tuple[str, tuple[str, ...]]], stretch: float) -> Timeline:
    """Segments of a millisecond one after another, each handed a tensor by its predecessor on another device."""
    spans: list[Span] = []
    for number, (device, ops) in enumerate(segments):
        start_s = number * 1e-3 * stretch
        spans.append(Span(kind="compute", device=device, ops=ops, start_s=start_s, end_s=start_s + 9e-4 * stretch))
        if number and segments[number - 1][0] != device:
            before = start_s - 1e-4 * stretch
            spans.append(
                Span(kind="hand-over", device=device, source=segments[number - 1][0], ops=ops, tensor="t & u",
                     start_s=before, end_s=start_s)
            )  # fmt: skip
    return Timeline(origin=origin, spans=tuple(spans))


def executed(name: str, segments: list[tuple[str, tuple[str, ...]]]) -> ExecutedPlan:
    measured = timeline("measured", segments, 1.1)
    assignment = Assignment(device="cpu", label="cpu", num_ops=3, total_ops=6, num_segments=1, busy_share=0.5)
    return ExecutedPlan(
        name=name,
        graph=GRAPH,
        simulated=timeline("simulated", segments, 1.0),
        measured=measured,
        where=breakdown(measured, PLATFORM),
        assignments=(assignment,),
    )


PLANS = (
    executed("single:cpu", [("cpu", OPS)]),
    executed("search", [("cpu", OPS[:2]), ("npu", OPS[2:4]), ("cpu", OPS[4:])]),
)
OUTCOME = Outcome(
    model=f"model {HOSTILE}",
    platform="cpu+npu",
    plans=tuple(
        PlanOutcome(
            name=plan.name, simulated_s=plan.simulated.makespan_s, measured_s=plan.measured.makespan_s,
            measured_iqr_s=1e-4, measured_low_s=9e-4, measured_high_s=4e-3, num_segments=len(plan.measured.compute),
            num_devices=1, num_splits=0,
        )
        for plan in PLANS
    ),
    best_single_device_s=1e-3,
    winner="search",
    outputs_match=True,
    largest_error=1e-7,
    tolerance=1e-6,
    reference_engines_s={"cpu": 1e-3, "npu (stand-in)": 2e-3},
    reference_threads=2,
    num_samples=20,
    seed=0,
    machine="Some processor, 2 cores",
    versions={"hetsim": "0.1.0"},
    command=("hetsim", "tune", LONG, "--out", "out"),
    warnings=(HOSTILE,),
)  # fmt: skip
SHOWN = "#timelines .plan:not([hidden])"
WIDE = """[...document.querySelectorAll('body *')].filter(element => {
    if (element.closest('.lanes, caption, thead')) return false;  // they clip what is inside
    const box = element.getBoundingClientRect();
    return box.width && (box.right > innerWidth + 0.5 || box.left < -0.5);
}).map(element => element.outerHTML.slice(0, 200))"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = find_browser()
    if program is None:
        pytest.skip("needs a Chromium, such as Debian's package chromium")
    with Browser(program, tmp_path_factory.mktemp("browser")) as opened:
        yield opened


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_html(OUTCOME, path, plans=PLANS, devices=PLATFORM.devices)
    return path


@pytest.fixture(autouse=True)
def _nothing_is_complained_about(browser: Browser) -> Iterator[None]:
    yield
    assert browser.complaints == []


@pytest.mark.parametrize("width", [1000, 400])
@pytest.mark.parametrize("scripts", [True, False])
def test_nothing_is_wider_than_the_window(browser: Browser, page: Path, width: int, scripts: bool) -> None:
    browser.open(page, width=width, scripts=scripts)
    browser.evaluate("document.querySelectorAll('details').forEach(element => { element.open = true; })")
    assert browser.evaluate("innerWidth") == width
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    assert browser.evaluate(WIDE) == []


def test_names_from_models_stay_text(browser: Browser, page: Path) -> None:
    browser.open(page)
    assert browser.evaluate("document.images.length") == 0
    assert browser.evaluate("document.scripts.length") == 1
    assert HOSTILE in browser.evaluate("document.querySelector('h1').textContent")


def test_pointing_at_a_segment_names_its_operators(browser: Browser, page: Path) -> None:
    browser.open(page)
    assert browser.evaluate("document.getElementById('hint').hidden")
    browser.point(f"{SHOWN} .simulated .device-1 .segment")
    said = browser.evaluate("document.getElementById('hint').innerText")
    assert "npu (stand-in), 2 operators" in said
    assert HOSTILE in said
    assert LONG in said
    assert "simulated 1.00\N{EN DASH}1.90 ms (0.900 ms)" in said
    assert "measured 1.10\N{EN DASH}2.09 ms (0.990 ms)" in said
    assert browser.evaluate("document.querySelectorAll('.measured .twin').length") == 1
    assert browser.evaluate(WIDE) == []
    browser.mouse("mouseMoved", 5, 5)
    assert browser.evaluate("document.getElementById('hint').hidden")


def test_pointing_at_a_hand_over_names_its_tensor(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.point(f"{SHOWN} .measured .handover .reach")
    said = browser.evaluate("document.getElementById('hint').innerText")
    assert said == "t & u from cpu to npu (stand-in): 110.0 us"


def test_every_executed_plan_can_be_shown(browser: Browser, page: Path) -> None:
    browser.open(page)
    segments = f"document.querySelectorAll('{SHOWN} .segment').length"
    assert browser.evaluate(f"document.querySelector('{SHOWN}').dataset.name") == "search"
    assert browser.evaluate(segments) == 6
    before = browser.picture()
    browser.click("#controls input[value=plan-0]")
    assert browser.evaluate(f"document.querySelector('{SHOWN}').dataset.name") == "single:cpu"
    assert browser.evaluate(segments) == 2
    assert not np.array_equal(before, browser.picture())
    browser.press("ArrowRight")  # the switch is a group of radio buttons
    assert browser.evaluate(f"document.querySelector('{SHOWN}').dataset.name") == "search"
    browser.click("table a[href='#plan-0']")
    browser.wait(lambda: browser.evaluate(f"document.querySelector('{SHOWN}').dataset.name") == "single:cpu")


def test_zooming_keeps_the_place_under_the_pointer_and_dragging_pans(browser: Browser, page: Path) -> None:
    browser.open(page)
    segment = f"{SHOWN} .measured .device-1 .segment"
    box = f"(b => [b.left, b.width])(document.querySelector('{segment}').getBoundingClientRect())"
    x, y = browser.centre(segment)
    left, width = browser.evaluate(box)
    browser.mouse("mouseWheel", x, y, deltaX=0, deltaY=-40, modifiers=2)
    browser.wait(lambda: browser.evaluate(box)[1] > width * 1.2)
    zoomed_left, zoomed_width = browser.evaluate(box)
    assert zoomed_left + zoomed_width / 2 == pytest.approx(x, abs=1)
    browser.mouse("mousePressed", x, y, button="left", buttons=1, clickCount=1)
    browser.mouse("mouseMoved", x + 60, y, button="left", buttons=1)
    browser.mouse("mouseReleased", x + 60, y, button="left", clickCount=1)
    assert browser.evaluate(box)[0] == pytest.approx(zoomed_left + 60, abs=1)
    browser.click("[data-do=all]")
    assert browser.evaluate(box) == pytest.approx([left, width], abs=0.1)


def test_hand_overs_follow_the_zoom(browser: Browser, page: Path) -> None:
    browser.open(page)
    gap = (
        f"(() => {{ const line = document.querySelector('{SHOWN} .measured .handover .line').getBoundingClientRect();"
        f"const bar = document.querySelector('{SHOWN} .measured .device-1 .segment').getBoundingClientRect();"
        "return bar.left - line.right; })()"
    )
    assert browser.evaluate(gap) == pytest.approx(0, abs=1)
    browser.click("[data-do=in]")
    browser.click("[data-do=in]")
    browser.click("[data-do=left]")
    assert browser.evaluate(gap) == pytest.approx(0, abs=1)


def test_segments_can_be_walked_with_the_keyboard(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.evaluate("document.querySelector('[data-do=all]').focus()")
    browser.press("Tab")
    focused = "document.activeElement.getAttribute('aria-label')"
    assert browser.evaluate(focused).startswith("conv1 +1 on cpu")
    browser.press("ArrowDown")
    assert "on npu (stand-in)" in browser.evaluate(focused)
    assert HOSTILE in browser.evaluate("document.getElementById('hint').innerText")
    browser.press("+")
    assert browser.evaluate("document.querySelector('#controls output').textContent")
    inside = "(b => b.left >= 0 && b.right <= innerWidth)(document.activeElement.getBoundingClientRect())"
    assert browser.evaluate(inside)  # what has the focus stays in view
    browser.press("0")
    assert not browser.evaluate("document.querySelector('#controls output').textContent")


def test_dark_follows_the_system_and_the_switch(browser: Browser, page: Path) -> None:
    browser.open(page)
    light = browser.picture().mean()
    browser.open(page, dark=True)
    dark = browser.picture().mean()
    assert light > 0.8
    assert dark < 0.3
    browser.click("#theme")
    assert browser.picture().mean() > 0.8
    browser.click("#theme")
    assert browser.picture().mean() < 0.3


def test_without_scripts_every_plan_is_there(browser: Browser, page: Path) -> None:
    browser.open(page, scripts=False)
    visible = (
        "[...document.querySelectorAll('#timelines .plan')].every(plan => plan.getBoundingClientRect().height > 200)"
    )
    assert browser.evaluate(visible)
    assert browser.evaluate("document.getElementById('controls').getBoundingClientRect().height") == 0
    assert OPS[0] in browser.evaluate(f"document.querySelector('{SHOWN} .segment').title")


def test_paper_is_white_and_has_no_buttons(browser: Browser, page: Path) -> None:
    browser.open(page, dark=True)
    browser.ask("Emulation.setEmulatedMedia", media="print")
    assert browser.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert browser.evaluate("document.getElementById('controls').getBoundingClientRect().height") == 0
    browser.ask("Emulation.setEmulatedMedia", media="")
