"""Baselines: one device, devices by operator type, and the published partitioning algorithms."""
