"""``python -m experiments.npu_speed``; the command is in a module of its own, which workers can import."""

from experiments.npu_speed.command import main

if __name__ == "__main__":
    main()
