"""Several models on one machine: which plans serve them, by which policy, simulated and executed."""
