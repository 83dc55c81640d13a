"""``hetsim zoo``."""

from __future__ import annotations

from hetsim.tuner.cli.screen import say


def zoo() -> None:
    """List the models that come by name."""
    from hetsim.models.zoo import zoo_names

    for name in zoo_names():
        say(name)
