"""``python -m experiments.scenarios``."""

from experiments.scenarios.command import main

main()
