"""Simulation of services."""
