"""Measure on the real devices: profile models, calibrate platforms, run plans in interleaved rounds."""
