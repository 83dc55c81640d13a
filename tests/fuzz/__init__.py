"""Hostile files: mutations of real ones, thrown at everything that reads a file."""
