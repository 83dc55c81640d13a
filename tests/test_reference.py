"""Covers that something disturbed are walked again, others are not; on devices with a clock of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from hetsim.profile import Profile, ProfileFile, Walk, load_profile
from runtime import Runtime
from runtime.profiler import Effort, covers, make_header, profile_covers
from runtime.reference import disturbed, num_reference_walks
from tests.models import chain
from tests.virtual_runtime import OP_S, VirtualRuntime

MODEL = chain(40)
NAMES = tuple(covers(MODEL.graph))
EFFORT = Effort(repeats=12, warm_ups=6)
COVER, REFERENCE, LOADING = 6 + 12, 1 + 3, 1  # walks


def measure(path: Path, slowness: Callable[[int], float]) -> tuple[VirtualRuntime, Profile, list[str]]:
    virtual, said = VirtualRuntime(slowness), list[str]()
    runtime = cast(Runtime, virtual)
    with ProfileFile(path, make_header(runtime, MODEL)) as file:
        profile_covers(runtime, MODEL, file, effort=EFFORT, progress=lambda _done, text: said.append(text))
    return virtual, load_profile(path), said


def starts(name: str) -> int:
    """How many walks there are before those of a cover that is not the first."""
    return NAMES.index(name) * (COVER + REFERENCE) + LOADING


def again(said: list[str]) -> list[str]:
    return [text.split(": ")[1].removesuffix(", again") for text in said if "again" in text]


def slow_between(first: int, end: int, by: float = 1.3) -> Callable[[int], float]:
    return lambda walk: by if first <= walk < end else 1.0


def test_a_cover_that_was_disturbed_is_walked_again_and_counts_as_it_was_then(tmp_path: Path) -> None:
    # Slow from halfway through the cover of two blocks each until its reference was walked. The next cover has that
    # reference before it, so it is suspect as well.
    hit, next_one = NAMES[2], NAMES[3]
    slow = slow_between(starts(hit) + 9, starts(hit) + COVER + REFERENCE)
    _, profile, said = measure(tmp_path / "p.jsonl", slow)
    assert again(said) == [hit, next_one]
    for name, parts in covers(MODEL.graph).items():
        for ops in parts:
            assert profile.samples_s("npu", ops, f"cover:{name}") == pytest.approx([OP_S * len(ops)] * 12, rel=1e-6)
    assert disturbed(profile.walks("npu")) == ()


def test_a_quiet_machine_walks_no_cover_twice(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(1.0, 0.01, 10_000)
    virtual, profile, said = measure(tmp_path / "p.jsonl", lambda walk: noise[walk])
    assert again(said) == []
    assert len(virtual.walks) == len(NAMES) * (COVER + REFERENCE) + LOADING
    assert set(profile.walks("npu")) == {f"cover:{name}" for name in NAMES}


def test_a_noisy_machine_is_not_a_disturbed_one(tmp_path: Path) -> None:
    # References that differ by 10 % all the time: none is further off than four of their standard deviations.
    _, _, said = measure(tmp_path / "p.jsonl", lambda walk: 1.0 + 0.1 * ((walk // 11) % 2))
    assert again(said) == []


def test_no_more_than_a_part_is_walked_again(tmp_path: Path) -> None:
    # References are slow after the second and, more so, after the fifth cover: four covers are suspect.
    slow = {starts(NAMES[i]) + COVER + k: 1.2 + i / 100 for i in (1, 4) for k in range(REFERENCE)}
    virtual, _, said = measure(tmp_path / "p.jsonl", lambda walk: slow.get(walk, 1.0))
    assert len(NAMES) in range(5, 9)  # so that two of them may be walked again
    assert again(said) == [NAMES[4], NAMES[5]]  # 24 % off, the others 21 %
    assert len(virtual.walks) == (len(NAMES) + 2) * (COVER + REFERENCE) + LOADING


def test_a_walk_again_that_is_more_disturbed_does_not_count(tmp_path: Path) -> None:
    last = len(NAMES) * (COVER + REFERENCE) + LOADING
    _, profile, said = measure(
        tmp_path / "p.jsonl",
        lambda walk: (
            1.3 if starts(NAMES[2]) <= walk < starts(NAMES[2]) + COVER + REFERENCE else 2.0 if walk >= last else 1.0
        ),
    )
    assert again(said) == [NAMES[2], NAMES[3]]
    ops = covers(MODEL.graph)[NAMES[2]][0]
    assert profile.samples_s("npu", ops, f"cover:{NAMES[2]}") == pytest.approx([1.3 * OP_S * len(ops)] * 12, rel=1e-6)


def test_what_was_disturbed_is_judged_once(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    measure(path, lambda walk: 1.3 if walk > 60 and walk % 60 < 30 else 1.0)
    before = path.read_bytes()
    virtual, _, _ = measure(path, lambda _walk: 1.0)
    assert virtual.walks == []
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("references_s", "found"),
    [
        ([(1.0,), (1.0, 1.01), (1.01, 1.03), (1.03, 1.0)], ()),  # within 4 %
        ([(1.0,), (1.0, 1.0), (1.0, 1.05), (1.05, 1.0)], ("2", "3")),  # beyond, and the others agree to the last digit
        ([(1.0,), (1.0, 0.8), (0.8, 1.0), (1.0, 1.1)], ("1", "2", "3")),  # too fast is unusual, too; worst first
        # Usual is 1, the median distance from it 0.02: 1.1 lies within 4 * 1.4826 * 0.02 = 0.119, 1.13 does not.
        ([(0.98,), (1.0, 1.02), (0.98, 1.1)], ()),
        ([(0.98,), (1.0, 1.02), (0.98, 1.13)], ("2",)),
        ([(), ()], ()),
    ],
)
def test_who_was_disturbed_by_hand(references_s: list[tuple[float, ...]], found: tuple[str, ...]) -> None:
    walks = {str(i): Walk(device="npu", context=str(i), reference_s=one) for i, one in enumerate(references_s)}
    assert disturbed(walks) == found


def test_references_make_a_quarter_more_walks_at_most() -> None:
    for repeats in range(8, 100):
        assert 1 + num_reference_walks(repeats) <= (repeats + EFFORT.warm_ups) / 4
