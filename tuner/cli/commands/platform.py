"""``hetsim platform`` and ``hetsim zoo``: what is here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hetsim.core.platform import DEFAULT_PLATFORM
from hetsim.tuner.cli.screen import say, screen


def platform(context: typer.Context) -> None:
    """List the engines and devices that are really here, and the platforms that they allow."""
    from hetsim.core.errors import HetsimError
    from hetsim.io.platform_file import builtin_platforms, load_platform
    from hetsim.runtime.backends import available_engines, make_backend, plugin_offers
    from hetsim.runtime.machine.fingerprint import machine_fingerprint
    from hetsim.runtime.machine.system import available_cores

    if context.invoked_subcommand is not None:
        return
    say(f"{machine_fingerprint()}; this process may use cores {', '.join(map(str, available_cores()))}")
    for engine, targets in available_engines().items():
        say(f"engine {engine}: {targets}")
    for package, offered in plugin_offers().items():
        say(f"plugin {package}: {offered}")
    for name in builtin_platforms():
        described = load_platform(name)
        say(f"platform {name}: {described.description}")
        for device in described.devices:
            if device.source is not None and not device.is_paced:
                say(f"  {device.label}: {device.source.description}")
                continue
            try:
                description = f"{make_backend(device).describe()}, cores {', '.join(map(str, device.cores)) or 'any'}"
            except HetsimError as error:
                description = f"NOT AVAILABLE: {error}"
            if device.source is not None:
                description = f"outputs by {description}; emulated {device.source.description}"
            say(f"  {device.label}: {description}")


def calibrate(
    out: Annotated[Path, typer.Option("--out", help="The calibrated platform file.")],
    name: Annotated[str, typer.Argument(metavar="[NAME|FILE]", help="The platform.")] = DEFAULT_PLATFORM,
) -> None:
    """Measure hand-overs, launches and memory, and write a platform file that holds them."""
    from hetsim.io.files import write_atomically
    from hetsim.io.platform_file import format_platform, load_platform
    from hetsim.runtime import Runtime
    from hetsim.runtime.measure.calibrate import calibrate as calibrate_platform
    from hetsim.tuner.cli.tables import print_moves
    from hetsim.tuner.progress import OnScreen
    from hetsim.tuner.steps.readiness import check_machine

    before = load_platform(out) if out.exists() else None
    described = load_platform(name)
    check_machine(described, OnScreen(screen()))
    with Runtime(described) as runtime, OnScreen(screen()).stage("calibrate") as report:
        found = calibrate_platform(runtime, progress=report)
    write_atomically(out, format_platform(found).encode())
    for device in found.devices:
        alone = found.memory.alone_bytes_per_s[device.name] / 1e9
        say(f"{device.label}: launch {device.launch_s * 1e6:.1f} us, memory alone {alone:.1f} GB/s")
    for (source, target), link in found.links.items():
        say(
            f"{source}->{target}: hand-over {link.setup_s * 1e6:.2f} us, and "
            f"{1e12 / link.bandwidth_bytes_per_s:.1f} us for each MB"
        )
    host = found.host
    say(
        f"host: submitting {host.submit_setup_s * 1e6:.0f} us, collecting {host.collect_setup_s * 1e6:.0f} us, and "
        f"{1e12 / host.bandwidth_bytes_per_s:.1f} us for each MB"
    )
    say(f"memory shared by all: {found.memory.shared_bytes_per_s / 1e9:.1f} GB/s; written to {out}")
    if before is not None and before.calibration is not None:
        print_moves(before, found, before.calibration.date)


def zoo() -> None:
    """List the models that come by name."""
    from hetsim.models.zoo import zoo_names

    for name in zoo_names():
        say(name)
