"""Simulation of a service: several plans at once on shared devices, in SimPy and compiled."""
