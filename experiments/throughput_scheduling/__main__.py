"""``python -m experiments.throughput_scheduling``."""

from experiments.throughput_scheduling.study import COMMAND, app
from hetsim.tuner.cli.exits import run_to_exit

if __name__ == "__main__":
    run_to_exit(app, command=COMMAND)
