"""The user's cache folder: what is expensive to find out and can be found out again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """The folder of hetsim in the user's cache, which may not exist yet."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(given) if given and Path(given).is_absolute() else Path.home() / ".cache") / "hetsim"
