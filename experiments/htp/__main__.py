"""``python -m experiments.htp``."""

from experiments.htp.study import COMMAND, app
from hetsim.tuner.cli.exits import run_to_exit

if __name__ == "__main__":
    run_to_exit(app, command=COMMAND)
