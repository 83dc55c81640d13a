"""Values that shared memory cannot hold, handed from one process to another in a file.

A model's opaque inputs and outputs (:attr:`hetsim.core.graph.Tensor.is_opaque`) are written by the caller or by one
segment, and read by whoever comes later. The order is that of the cells: a box is written before its cell counts up.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Box:
    """The place of one opaque value in one slot.

    Attributes:
        path: Its file, in a folder of the runtime's own.
    """

    path: Path

    def put(self, value: Any) -> None:
        """Write the value."""
        self.path.write_bytes(pickle.dumps(value, pickle.HIGHEST_PROTOCOL))

    def get(self) -> Any:
        """The value that was written last."""
        return pickle.loads(self.path.read_bytes())
