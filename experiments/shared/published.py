"""What PartitionTuner's authors report: Yu et al., ETRI Journal 45(2), 2023, doi 10.4218/etrij.2021-0446."""

from __future__ import annotations

from collections.abc import Mapping

PUBLISHED: Mapping[tuple[str, str], float] = {
    ("squeezenet", "type_based"): 0.0503,
    ("squeezenet", "individual"): 0.0273,
    ("resnet18", "individual"): 0.0536,
    ("resnet50", "individual"): 0.0718,
}
"""By network and baseline, the gain of PartitionTuner's plans on a Cortex-A53 with VTA units, as a fraction. The
abstract names no other networks and baselines."""
