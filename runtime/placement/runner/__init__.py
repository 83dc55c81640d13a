"""Files that are copied into placements; they know nothing of hetsim."""
