"""What tests of bundles share: plans over two devices, platforms without cores, spoilt bundles."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import hetsim
from hetsim.core.plan import Plan
from hetsim.core.platform import Platform
from hetsim.models.model import Model
from tests.support.models import fake_platform, fork_join, make_plan
from tests.support.split_networks import plan_in_parts, split_problem, stack


def two_device_plan(model: Model) -> Plan:
    """Operators in turn on both devices."""
    names = [op.name for op in model.graph.ops]
    return make_plan(model, cpu=names[::2], npu=names[1::2])


def plan_with_splits() -> tuple[Model, Plan]:
    """Two convolutions by rows, one by channels, and the rest on one device."""
    model = stack(3, 3, 1, rows=16)
    return model, plan_in_parts(split_problem(model))


def unpinned(platform: Platform) -> Platform:
    """The platform without cores, so that tests run on any machine."""
    return platform.with_devices(*(replace(device, cores=()) for device in platform.devices))


def tiny_bundle(folder: Path) -> Path:
    """A bundle of the make-believe engine with segments on two devices."""
    model = fork_join()
    hetsim.export(model, two_device_plan(model), folder / "bundle", platform=unpinned(fake_platform()))
    return folder / "bundle"


def change_manifest(bundle: Path, key: str, value: object) -> None:
    """Change one value of the manifest; dots lead to inner ones."""
    path = bundle / "manifest.json"
    manifest = json.loads(path.read_text())
    *outer, last = key.split(".")
    inner = manifest
    for name in outer:
        inner = inner[int(name) if name.isdigit() else name]
    inner[last] = value
    path.write_text(json.dumps(manifest))


def _append(bundle: Path) -> None:
    with open(bundle / "segments" / "weights.bin", "ab") as file:
        file.write(b"x")


SPOILT: dict[str, tuple[Callable[[Path], object], str]] = {
    "changed file": (_append, "weights.bin differs from its hash in the manifest; export the bundle anew"),
    "lost file": (lambda bundle: shutil.rmtree(bundle / "example"), "; export the bundle anew"),
    "broken": (lambda bundle: (bundle / "manifest.json").write_text("{"), "manifest.json is malformed"),
    "empty": (lambda bundle: (bundle / "manifest.json").write_text("{}"), "is no manifest of a hetsim bundle"),
    "none": (lambda bundle: (bundle / "manifest.json").unlink(), "cannot read"),
    "newer": (lambda b: change_manifest(b, "version", 2), "the bundle has version 2, this runner takes version 1"),
    "core": (
        lambda b: change_manifest(b, "devices.0.cores", [4095]),
        "device 'cpu' is pinned to core 4095, but this process may",
    ),
    "engine": (lambda b: change_manifest(b, "devices.1.engine", "tpu"), "'tpu'"),
}
"""By what is wrong with a bundle: what makes it so, and what each runner says."""
