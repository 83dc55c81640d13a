"""The manifest of a bundle: everything that a runner needs to know, as JSON.

docs/bundle.md documents each key. A runner takes manifests of the version that it knows and refuses newer ones.
"""

from __future__ import annotations

import msgspec

FORMAT = "hetsim-bundle"
VERSION = 1
FILE_NAME = "manifest.json"


class Seconds(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A time with its 95 % interval, in seconds; predictions have none."""

    seconds: float
    low_s: float | None = None
    high_s: float | None = None


class DeviceEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A device: its engine, how that is set up, and the engine's version at export."""

    name: str
    nature: str
    engine: str
    engine_version: str
    target: str
    precision: str
    threads: int
    cores: tuple[int, ...]
    options: dict[str, str]


class TensorEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A tensor between segments, or of the caller's: its place in the arena in bytes, and its form there.

    ``stored_as`` is the element type in which its device stores it, where that is not ``dtype``; images then have their
    channels last.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    num_bytes: int
    stored_as: str = ""
    is_image: bool = False


class StepEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A segment: its device, its file, its tensors, and the steps that must end first, those of its device excluded."""

    device: str
    file: str
    ops: tuple[str, ...]
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    waits_for: tuple[int, ...]
    expected: Seconds | None = None


class ExampleEntry(msgspec.Struct, frozen=True, kw_only=True):
    """By tensor, a file with raw values: inputs, and the outputs that the reference engine gives for them."""

    inputs: dict[str, str]
    outputs: dict[str, str]
    tolerance: float


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """A bundle. Steps are in model order; a device runs its own in this order. ``files`` are SHA-256 by path."""

    format: str = FORMAT
    version: int = VERSION
    model: str
    model_hash: str
    plan_digest: str
    scheduler: str
    made_by: str
    devices: tuple[DeviceEntry, ...]
    arena_bytes: int
    tensors: tuple[TensorEntry, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    steps: tuple[StepEntry, ...]
    files: dict[str, str]
    example: ExampleEntry
    expected: Seconds | None = None


def encode(manifest: Manifest) -> bytes:
    """The manifest as JSON that people can read."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"
