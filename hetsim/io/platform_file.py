"""Platforms as TOML files, and the built-in platforms.

The file format, by example::

    name = "cpu+npu"
    description = "ONNX Runtime on core 0 beside a stand-in for an NPU on core 1"

    [device.cpu]
    kind = "cpu"
    backend = "onnxruntime"
    cores = [0]

    [device.npu]
    kind = "npu"
    nature = "stand-in"
    backend = "openvino"
    cores = [1]

    [link."cpu->npu"]
    setup_s = 2e-6

``hetsim platform calibrate`` writes measured numbers and a ``[calibration]`` table with the date and the machine. A
platform without this table is not calibrated and uses the defaults of :mod:`hetsim.core.platform`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import tomli_w

from hetsim.core.errors import PlatformError
from hetsim.core.platform import DEFAULT_PLATFORM, Calibration, Device, Host, Kind, Link, Memory, Nature, Platform
from hetsim.core.sources import Architecture, Plugin, Precision, Sheet, Source, Times, beside, require
from hetsim.io.files import read_bounded


class _DeviceTable(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    kind: Kind
    backend: str = ""
    target: str = ""
    nature: Nature | None = None
    precision: Precision = "f32"
    cores: tuple[int, ...] = ()
    threads: int = 1
    launch_s: float = 0.0
    supported_ops: tuple[str, ...] = ()
    options: dict[str, str] = {}
    plugin: Any = None
    sheet: Any = None
    architecture: Any = None
    times: Any = None
    count: int = 1


class _File(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    name: str
    description: str = ""
    device: dict[str, Any]
    link: dict[str, Any] = {}
    memory: Any = msgspec.field(default_factory=dict)
    host: Any = msgspec.field(default_factory=dict)
    calibration: Any = None


_Table = TypeVar("_Table")


def _convert(value: object, shape: type[_Table], path: str) -> _Table:
    """A value, converted to ``shape``; errors give the field's path within the file.

    Raises:
        PlatformError: If a field is missing, unknown or of the wrong type.
    """
    try:
        table = msgspec.convert(value, shape)
    except msgspec.ValidationError as error:
        says, _, where = str(error).partition(" - at `$")
        raise PlatformError(f"{(path + where.rstrip('`')).lstrip('.') or 'the file'}: {says}") from None
    # msgspec ignores keys that a dataclass lacks; a misspelt key must be an error
    if is_dataclass(shape) and isinstance(value, Mapping):
        known = [entry.name for entry in fields(shape)]
        for key in value:
            if key not in known:
                raise PlatformError(f"{path} has unknown field {key!r}; it may have {', '.join(known)}")
    return table


_SOURCES: Mapping[str, type[Source]] = {"sheet": Sheet, "architecture": Architecture, "times": Times}


def _expand(name: str, table: _DeviceTable, folder: Path) -> list[Device]:
    """The devices of one table: ``npu`` alone, or with a count ``npu0``, ``npu1``, ..., each on a core of its own."""
    settings = {key: getattr(table, key) for key in table.__struct_fields__ if key != "count"}
    given = False
    for key, shape in _SOURCES.items():
        if settings[key] is not None:
            given = True
            source = beside(folder, _convert(settings[key], shape, f"device.{name}.{key}"))
            if isinstance(source, Times) and not source.device:
                source = replace(source, device=name)
            settings[key] = source
    if settings["plugin"] is not None:
        settings["plugin"] = _plugin(settings["plugin"], f"device.{name}.plugin", folder)
    settings["nature"] = table.nature or ("hypothetical" if given else "real")
    settings["backend"] = table.backend or ("none" if given else "")
    if not settings["backend"]:
        raise PlatformError(
            f"device.{name}: Object missing required field `backend`; only a device with a sheet, architecture or "
            "times needs no backend"
        )
    require(table.count >= 1, f"device.{name}.count", "at least 1", table.count)
    if table.count == 1:
        return [Device(name=name, **settings)]
    cores = table.cores
    if cores and len(cores) != table.count:
        raise PlatformError(f"device.{name}.cores must name one core for each of {table.count} devices, got {cores}")
    return [
        Device(name=f"{name}{i}", **{**settings, "cores": (cores[i],) if cores else ()}) for i in range(table.count)
    ]


def _plugin(table: object, path: str, folder: Path) -> Plugin:
    """A plugin whose library, if it is a file beside the platform's, has its whole path.

    Raises:
        PlatformError: If a field is missing, unknown or of the wrong type.
    """
    plugin = _convert(table, Plugin, path)
    return replace(plugin, library=str(folder / plugin.library)) if plugin.library else plugin


def builtin_platforms() -> tuple[str, ...]:
    """Names of the platforms that come with hetsim."""
    folder = resources.files("hetsim.io") / "platforms"
    return tuple(sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml")))


def load_platform(name_or_path: str | Path = DEFAULT_PLATFORM) -> Platform:
    """The built-in platform of that name, or the platform in that TOML file.

    >>> load_platform("cpu+npu").device("npu").label
    'npu (stand-in)'

    Raises:
        PlatformError: If there is no such platform, or a field of it is wrong; the message gives the field's path.
    """
    wanted = str(name_or_path)
    if wanted in builtin_platforms():
        text = (resources.files("hetsim.io") / "platforms" / f"{wanted}.toml").read_text("utf-8")
        return parse_platform(text, source=wanted)
    path = Path(name_or_path)
    try:
        text = read_bounded(path).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise PlatformError(
            f"no platform {wanted!r} ({reason}); built in are {', '.join(builtin_platforms())}; "
            "or give the path of a TOML file (docs/formats.md shows one)"
        ) from None
    return parse_platform(text, source=wanted, folder=path.parent.resolve())


def parse_platform(text: str, *, source: str, folder: Path = Path()) -> Platform:
    """The platform in a TOML text. Errors name ``source``; relative file names are resolved in ``folder``.

    Raises:
        PlatformError: If the text is not TOML, or a field is missing, unknown, of the wrong type or out of range.
    """
    try:
        table = _convert(tomllib.loads(text), _File, "")
        devices = [
            device
            for name, entry in table.device.items()
            for device in _expand(name, _convert(entry, _DeviceTable, f"device.{name}"), folder)
        ]
        links: dict[tuple[str, str], Link] = {}
        for key, entry in table.link.items():
            first, arrow, second = key.partition("->")
            if not arrow:
                raise PlatformError(f'link."{key}" must be named FROM->TO, such as link."cpu->npu"')
            links[first.strip(), second.strip()] = _convert(entry, Link, f'link."{key}"')
        return Platform(
            name=table.name,
            description=table.description,
            devices=tuple(devices),
            links=links,
            memory=_convert(table.memory, Memory, "memory"),
            host=_convert(table.host, Host, "host"),
            calibration=None if table.calibration is None else _convert(table.calibration, Calibration, "calibration"),
        )
    except (tomllib.TOMLDecodeError, PlatformError, RecursionError) as error:
        raise PlatformError(f"platform {source}: {error}") from None


def format_platform(platform: Platform) -> str:
    """The TOML text of a platform; :func:`parse_platform` gives an equal platform."""
    tables = {
        device.name: {key: value for key, value in _without_empty(msgspec.to_builtins(device)).items() if key != "name"}
        for device in platform.devices
    }
    content: dict[str, Any] = {"name": platform.name, "description": platform.description, "device": tables}
    content["link"] = {f"{a}->{b}": msgspec.to_builtins(link) for (a, b), link in platform.links.items()}
    content["memory"] = msgspec.to_builtins(platform.memory)
    content["host"] = msgspec.to_builtins(platform.host)
    if platform.calibration is not None:
        content["calibration"] = msgspec.to_builtins(platform.calibration)
    return tomli_w.dumps(content)


def _without_empty(table: Mapping[str, Any]) -> dict[str, Any]:
    """The table and its subtables without empty and null values; TOML has no null."""
    return {
        key: _without_empty(value) if isinstance(value, dict) else value
        for key, value in table.items()
        if value is not None and value not in ("", (), [], {})
    }
