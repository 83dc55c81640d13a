"""The machine's self-check: judged on readings made up, read on the machine itself."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from dataclasses import replace

import pytest

from hetsim.core.errors import PlatformError
from hetsim.io.platform_file import load_platform
from hetsim.runtime.machine.self_check import Readings, concerns, pinning, read_machine, self_check
from hetsim.runtime.runtime import Runtime
from tests.support.problems import platform_of


@pytest.mark.parametrize(
    ("readings", "line"),
    [
        (
            Readings(busy={0: 0.01, 1: 0.87}, busiest={"pytest, process 7": 0.9, "bash, process 8": 0.1}),
            "core 1 is 87% busy with other work (most of it pytest, process 7)",
        ),
        (Readings(busy={0: 0.2}), "core 0 is 20% busy with other work"),
        (Readings(stolen={0: 0.25}), "core 0 loses 25% of its time to other guests of its host"),
        (
            Readings(governors={0: "powersave", 1: "powersave", 2: "performance"}),
            "the frequency of cores 0 and 1 is governed by 'powersave', so times depend on what ran before; "
            "'performance' keeps it level",
        ),
        (Readings(capped={0: 1.0, 1: 0.5}), "core 1 is limited to 50% of its highest frequency"),
        (Readings(siblings=((0, 4),)), "cores 0 and 4 are threads of one physical core and slow each other down"),
        (Readings(on_battery=True), "the machine runs on battery, which may lower its frequency"),
    ],
)
def test_each_reading_that_spoils_figures_is_one_line(readings: Readings, line: str) -> None:
    assert concerns(readings) == (line,)


def test_a_quiet_machine_gives_no_word() -> None:
    quiet = Readings(busy={0: 0.01}, stolen={0: 0.0}, governors={0: "performance"}, capped={0: 1.0})
    assert concerns(quiet) == ()


def test_devices_that_share_a_core_or_have_none_are_named() -> None:
    cpu, npu = load_platform("cpu+npu").devices
    platform = load_platform("cpu+npu")
    assert pinning(platform) == ()
    shared = platform.with_devices(replace(npu, cores=cpu.cores))
    assert pinning(shared) == ("devices cpu and npu are pinned to the same core 0 and slow each other down",)
    loose = platform.with_devices(replace(cpu, cores=()))
    assert pinning(loose) == ("device cpu is pinned to no core, so others may be given its core; set its cores",)


def test_another_process_on_a_core_is_seen_and_named() -> None:
    core = min(os.sched_getaffinity(0))
    script = f"import os; os.sched_setaffinity(0, {{{core}}}); print(flush=True)\nwhile True: pass"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as busy:
        try:
            assert busy.stdout is not None
            busy.stdout.readline()
            readings = read_machine((core,), during_s=0.5)
        finally:
            busy.kill()
    assert readings.busy[core] > 0.5
    assert any(f"process {busy.pid}" in name for name in readings.busiest)


def test_a_platform_without_cores_is_checked_on_all_there_are() -> None:
    assert all(isinstance(line, str) for line in self_check(platform_of("cpu"), during_s=0.05))


def test_processors_that_reorder_stores_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    with pytest.raises(PlatformError, match="need the order of stores of x86, and this is aarch64"):
        Runtime(platform_of("cpu"))
