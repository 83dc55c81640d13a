"""The files of a verification."""

from __future__ import annotations

from pathlib import Path

import msgspec

from hetsim.analysis.verification.records import Verification
from hetsim.analysis.verification.tables import as_dict
from hetsim.io.files import write_atomically


def write_verification(found: Verification, folder: Path) -> None:
    """Write ``verify.png`` and ``verify.json`` to a folder, which is made if it does not exist.

    Raises:
        OSError: If a file cannot be written.
    """
    from hetsim.analysis.verification.picture import draw_verification  # matplotlib, which only pictures need

    folder.mkdir(parents=True, exist_ok=True)
    draw_verification(found, folder / "verify.png")
    content = msgspec.json.format(msgspec.json.encode(as_dict(found)), indent=2)
    write_atomically(folder / "verify.json", content + b"\n")
