"""A small problem file for tests of commands."""

from __future__ import annotations

PROBLEM = {
    "devices": ["cpu", "npu"],
    "ops": {"a": {"cpu": 1.0}, "b": {"cpu": 3.0, "npu": 1.0}, "c": {"cpu": 1.0}},
    "edges": [["a", "b", 1000], ["b", "c", 1000]],
}
