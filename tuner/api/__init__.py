"""The functions of ``import hetsim``, which the command line calls too: plan, simulate, explain, profile, run, tune."""
