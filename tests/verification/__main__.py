"""Verify devices whose faults are known: ``python -m tests.verification --faults 20 --clean 200``.

Each fault is one wrong operator of a random network on the stand-in ``npu``; verification has to name it, as the first
that diverges. In networks on the device as it is, it has to name none. Every fourth clean network is computed in bf16.
"""

from __future__ import annotations

import argparse
import sys

from hetsim.core.sources import Precision
from tests.verification.networks import random_network
from tests.verification.trials import draw_trial, stand_in, verify


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.verification", description=__doc__)
    parser.add_argument("--faults", type=int, default=20, help="networks with a wrong operator")
    parser.add_argument("--clean", type=int, default=200, help="networks on the device as it is")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first network")
    options = parser.parse_args()
    seeds = range(options.seed, options.seed + options.faults)
    num_named = sum(_names_the_fault(seed) for seed in seeds)
    print(f"{num_named} of {options.faults} faults named", flush=True)
    num_clean = sum(_is_clean(seed) for seed in range(options.seed, options.seed + options.clean))
    print(f"{num_clean} of {options.clean} clean networks without a diverging operator")
    sys.exit(num_named < options.faults or num_clean < options.clean)


def _names_the_fault(seed: int) -> bool:
    model = random_network(seed)
    trial = draw_trial(seed, model)
    first = verify(model, stand_in(wrong=trial.op, wrong_by=trial.fault)).first_diverging
    found = first is not None and first.label == trial.op
    print(f"{'named' if found else 'MISSED'} {trial.kind} {trial.op!r} {trial.fault}: {first}", flush=True)
    return found


def _is_clean(seed: int) -> bool:
    precision: Precision = "bf16" if seed % 4 == 3 else "f32"
    findings = verify(random_network(seed), stand_in(precision))
    wrong = [finding for finding in findings.ops if finding.verdict in ("diverges", "failed")]
    for finding in wrong:
        print(f"network {seed} in {precision}: {finding}", flush=True)
    return not wrong


if __name__ == "__main__":
    main()
