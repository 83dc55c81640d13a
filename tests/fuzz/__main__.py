"""Throw hostile files at every reader: ``python -m tests.fuzz --inputs 100000 --seed 1``.

Inputs are numbered, and number and seed say what an input is: ``--reader onnx --first 4711 --inputs 1`` makes it again.
Readers run in child processes with limits on memory, on the size of files and on time; a child that dies or hangs is a
finding like a traceback. Findings are left in ``--out``, with the input.
"""

from __future__ import annotations

import argparse
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from random import Random

from tests.fuzz.readers import Reader, check, prepare, readers

_MEMORY_BYTES = 3 << 30  # what a child may add to what its libraries take
_HANG_S = 20.0
_BATCH = 2000


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000, help="in all, or of --reader")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--reader", choices=list(readers()), help="only this one")
    parser.add_argument("--first", type=int, default=0, help="number of the first input of each reader")
    parser.add_argument("--out", type=Path, default=Path("out/fuzz"))
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        _child(readers()[options.reader], options)
        return
    findings: Counter[str] = Counter()
    total = 0
    for name, reader in readers().items():
        if options.reader not in (None, name):
            continue
        count = options.inputs if options.reader else options.inputs * reader.share // 100
        start_s = time.monotonic()
        found = _run(name, options.first, options.first + count, options.seed, options.out)
        print(f"{name}: {count} inputs, {len(found)} findings, {time.monotonic() - start_s:.0f} s", flush=True)
        findings[name] += len(found)
        total += count
        for number, description in found:
            path = options.out / f"{name}-{number}{reader.suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(reader.content(_generator(options.seed, name, number)))
            print(f"  {path}: {description}", flush=True)
    print(f"{total} inputs, {findings.total()} findings, seed {options.seed}")
    raise SystemExit(findings.total() > 0)


def _generator(seed: int, name: str, number: int) -> Random:
    return Random(f"{seed}:{name}:{number}")


def _run(name: str, first: int, end: int, seed: int, out: Path) -> list[tuple[int, str]]:
    """The findings among the inputs from ``first`` to ``end``: number and words."""
    found: list[tuple[int, str]] = []
    number = first
    while number < end:
        with tempfile.TemporaryDirectory(prefix="hetsim-fuzz-") as folder:
            last = min(end, number + _BATCH)
            found += _batch(name, number, last, seed, Path(folder), out)
            reached = int((Path(folder) / "progress").read_text() or number)
            number = last if reached >= last else reached + 1
    return found


def _batch(name: str, first: int, end: int, seed: int, folder: Path, out: Path) -> list[tuple[int, str]]:
    """Findings of one child; if it died or hung, the last one is that, and ``progress`` says at which input."""
    prepare(folder)
    progress = folder / "progress"
    progress.write_text(str(first))
    (folder / "tmp").mkdir()
    command = [sys.executable, "-m", "tests.fuzz", "--reader", name, "--seed", str(seed), "--first", str(first)]
    command += ["--inputs", str(end - first), "--child", str(folder), "--out", str(out)]
    with open(folder / "said", "w+b") as said:
        child = subprocess.Popen(
            command, stdout=said, stderr=subprocess.STDOUT, env={**os.environ, "TMPDIR": str(folder / "tmp")}
        )
        seen, since_s = "", 0.0
        while child.poll() is None:
            time.sleep(0.05)
            now = progress.read_text()
            if now != seen:
                seen, since_s = now, _cpu_s(child.pid)
            elif _cpu_s(child.pid) - since_s > _HANG_S:
                child.kill()
                child.wait()
        said.seek(0)
        description = said.read().decode(errors="replace")
    found = [
        (int(line.split(" ", 2)[1]), line.split(" ", 2)[2])
        for line in description.splitlines()
        if line.startswith("FINDING ") and line.count(" ") >= 2
    ]
    if child.returncode:
        at = int(progress.read_text())
        fate = "no answer within 20 s" if child.returncode == -signal.SIGKILL else f"exit status {child.returncode}"
        found.append((at, f"the process ended: {fate}; {description[-300:]!r}"))
    elif sorted(path.name for path in folder.iterdir()) != ["model", "progress", "said", "secret.bin", "tmp"]:
        found.append((first, f"wrote outside the model's folder: {sorted(path.name for path in folder.iterdir())}"))
    return found


def _child(reader: Reader, options: argparse.Namespace) -> None:
    folder: Path = options.child
    os.chdir(folder)
    resource.setrlimit(resource.RLIMIT_DATA, (_used_bytes() + _MEMORY_BYTES,) * 2)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 30, 1 << 30))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    path = folder / "model" / f"input{reader.suffix}"
    with open(folder / "progress", "r+b", buffering=0) as progress:
        for number in range(options.first, options.first + options.inputs):
            progress.seek(0)
            progress.write(str(number).encode())
            content = reader.content(_generator(options.seed, options.reader, number))
            before_bytes = _peak_bytes()
            try:
                description = check(reader, path, content)
            except BaseException:
                description = traceback.format_exc()[-300:].replace("\n", " | ")
            grown_bytes = _peak_bytes() - before_bytes
            if description is None and grown_bytes > 1 << 30:
                description = f"took {grown_bytes >> 20} MiB"
            if description is not None:
                print(f"FINDING {number} {description}", flush=True)
        progress.seek(0)
        progress.write(str(options.first + options.inputs).encode())


def _cpu_s(pid: int) -> float:
    """Processor time of a process in seconds: a busy machine is no hang."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _used_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
