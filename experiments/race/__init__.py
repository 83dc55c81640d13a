"""Simulated final measurements: how often a race recommends the fastest plan."""
