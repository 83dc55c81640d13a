"""Sources of times for devices that are not measured: a data sheet, an architecture, or a file; sources of engines.

In a platform file they are tables below the device's table: ``[device.NAME.sheet]``, ``[device.NAME.architecture]``,
``[device.NAME.times]``. :mod:`hetsim.costs.hypothetical` derives the times of segments from them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from hetsim.core.errors import PlatformError

Precision = Literal["f32", "bf16", "f16", "i8"]

ShapeClass = Literal["shallow", "pointwise", "spatial", "strided", "depthwise", "product"]
"""Classes of layers. A convolution is depthwise if its groups read one channel each, else shallow if it reads at most
four, else strided, else pointwise or spatial by the size of its kernel. A product is one of matrices."""

ITEM_BYTES: Mapping[Precision, int] = {"f32": 4, "bf16": 2, "f16": 2, "i8": 1}
"""Size in bytes of an element inside a device, by the device's precision."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """A processor by its data sheet: a roofline model.

    Attributes:
        peak_ops_per_s: By precision, the operations per second of all multipliers; a multiply-accumulate counts as two.
        memory_bytes_per_s: Memory bandwidth with nothing else running.
        on_chip_bytes: Bytes of tensors between operators of one segment that stay on the chip.
        efficiency: Share of the peak that an operator reaches if it fills all lanes; above 0, at most 1.
        efficiency_by_class: By class of layers, the share that its operators reach instead.
        elements_per_s: Rate at which operators without multiplications process the larger of their input and output.
        input_lanes: Input channels that are processed at a time; lanes that a layer does not fill are idle.
        output_lanes: Output channels that are processed at a time.
        folded_ops: Kinds that its compiler fuses into the operator before them, if no other operator reads that one.
        origin: Where the figures are from, for people; empty if nobody says.
    """

    peak_ops_per_s: Mapping[Precision, float]
    memory_bytes_per_s: float
    on_chip_bytes: int = 0
    efficiency: float = 1.0
    efficiency_by_class: Mapping[ShapeClass, float] = field(default_factory=dict)
    elements_per_s: float = math.inf
    input_lanes: int = 1
    output_lanes: int = 1
    folded_ops: tuple[str, ...] = ()
    origin: str = ""

    @property
    def description(self) -> str:
        """A description for people."""
        return "times by its data sheet" + (f" ({self.origin})" if self.origin else "")

    def check(self, path: str, precision: Precision, supported_ops: tuple[str, ...]) -> None:
        """Check that the values are possible and fit the device.

        Raises:
            PlatformError: With the field's path below ``path``.
        """
        for name, peak in self.peak_ops_per_s.items():
            require(0 < peak < math.inf, f"{path}.peak_ops_per_s.{name}", "a finite number above 0", peak)
        if precision not in self.peak_ops_per_s:
            raise PlatformError(
                f"{path}.peak_ops_per_s has no {precision}, the device's precision; it has "
                f"{', '.join(self.peak_ops_per_s) or 'nothing'}; add a figure, or set the device's precision"
            )
        bandwidth = self.memory_bytes_per_s
        require(0 < bandwidth < math.inf, f"{path}.memory_bytes_per_s", "a finite number above 0", bandwidth)
        require(self.on_chip_bytes >= 0, f"{path}.on_chip_bytes", "0 or more", self.on_chip_bytes)
        require(0 < self.efficiency <= 1, f"{path}.efficiency", "above 0 and at most 1", self.efficiency)
        for shape, share in self.efficiency_by_class.items():
            require(0 < share <= 1, f"{path}.efficiency_by_class.{shape}", "above 0 and at most 1", share)
        require(self.elements_per_s > 0, f"{path}.elements_per_s", "above 0", self.elements_per_s)
        require(self.input_lanes >= 1, f"{path}.input_lanes", "at least 1", self.input_lanes)
        require(self.output_lanes >= 1, f"{path}.output_lanes", "at least 1", self.output_lanes)
        _check_folded(self.folded_ops, supported_ops, path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """A processor as an array of processing elements with a memory hierarchy. ZigZag computes its cycles.

    Attributes:
        hardware: A file in ZigZag's format of accelerators (.yaml), or the name of one that ZigZag ships.
        mapping: A file in its format of mappings, or such a name.
        clock_hz: Clock frequency.
        memory_bytes_per_s: Memory bandwidth that limits operators for which ZigZag has no model; if None, the device
            refuses them.
        folded_ops: Kinds that are fused into the operator before them, if no other operator reads that one.
        cache: File that stores cycles for later runs; empty for a file in the user's cache folder.
    """

    hardware: str
    mapping: str
    clock_hz: float
    memory_bytes_per_s: float | None = None
    folded_ops: tuple[str, ...] = ()
    cache: str = ""

    @property
    def description(self) -> str:
        """A description for people."""
        return f"times by ZigZag, for {Path(self.hardware).stem}"

    def check(self, path: str, precision: Precision, supported_ops: tuple[str, ...]) -> None:
        """Check that the values are possible and fit the device.

        Raises:
            PlatformError: With the field's path below ``path``.
        """
        if precision != "i8":
            raise PlatformError(
                f'{path} is computed for i8 alone, but the device\'s precision is {precision}; set precision = "i8"'
            )
        require(0 < self.clock_hz < math.inf, f"{path}.clock_hz", "a finite number above 0", self.clock_hz)
        if self.memory_bytes_per_s is not None:
            bandwidth = self.memory_bytes_per_s
            require(0 < bandwidth < math.inf, f"{path}.memory_bytes_per_s", "a finite number above 0", bandwidth)
        _check_folded(self.folded_ops, supported_ops, path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Times from other measurements, in a CSV or JSON file.

    Attributes:
        file: The file.
        device: Name of this device in the file; empty if it is the device's name in the platform.
        origin: Who measured them, for people; empty if nobody says.
    """

    file: str
    device: str = ""
    origin: str = ""

    @property
    def description(self) -> str:
        """A description for people."""
        return f"times from {self.file}" + (f" ({self.origin})" if self.origin else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """Where ONNX Runtime finds an execution provider that it was not built with, and which of its devices are meant.

    Attributes:
        package: The Python package that brings the provider's library; empty if ``library`` names the file.
        library: The library's path; empty if ``package`` brings it.
        vendor: Vendor of the hardware as the provider reports it; empty for any.
        hardware: Type of the hardware, likewise; empty for any.
    """

    package: str = ""
    library: str = ""
    vendor: str = ""
    hardware: Literal["", "cpu", "gpu", "npu"] = ""

    def check(self, path: str) -> None:
        """Check that it names one thing.

        Raises:
            PlatformError: With the field's path.
        """
        given = [name for name in ("package", "library") if getattr(self, name)]
        if len(given) != 1:
            raise PlatformError(
                f"{path} names {' and '.join(given) or 'neither package nor library'}; give one of the two: the Python "
                "package that brings the provider, or the path of its library"
            )

    @property
    def origin(self) -> str:
        """The package or the library."""
        return self.package or self.library


Source = Sheet | Architecture | Times


def beside(folder: Path, source: Source) -> Source:
    """The same source with its relative file names resolved in ``folder``, the folder of the platform file."""
    match source:
        case Times():
            return replace(source, file=str(folder / source.file))
        case Architecture():
            return replace(
                source,
                hardware=_file_beside(folder, source.hardware),
                mapping=_file_beside(folder, source.mapping),
                cache=str(folder / source.cache) if source.cache else "",
            )
    return source


def _file_beside(folder: Path, name: str) -> str:
    return str(folder / name) if name.endswith((".yaml", ".yml")) else name


def _check_folded(folded_ops: tuple[str, ...], supported_ops: tuple[str, ...], path: str) -> None:
    for kind in folded_ops:
        if supported_ops and kind not in supported_ops:
            raise PlatformError(
                f"{path}.folded_ops has {kind}, which is not among the device's supported_ops "
                f"({', '.join(supported_ops)}); add it there, or remove it here"
            )


def require(holds: bool, path: str, wanted: str, found: object) -> None:
    """Raise an error with the field's path unless ``holds``, which must be false for NaN.

    Raises:
        PlatformError: If ``holds`` is false.
    """
    if not holds:
        raise PlatformError(f"{path} must be {wanted}, got {found}")
