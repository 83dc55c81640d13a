"""``python -m experiments.throughput``."""

from experiments.throughput.command import main

main()
