"""The project's own modules, each once, for tests that read them all."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
MODULES = sorted(
    path
    for package in ("hetsim", "scheduler", "runtime", "tuner", "experiments")
    for path in (ROOT / package).rglob("*.py")
    if not any(part.is_symlink() for part in path.parents)
)
