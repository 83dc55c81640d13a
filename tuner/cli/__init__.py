"""The `hetsim` command: options, what they stand for, and how results reach the screen."""
