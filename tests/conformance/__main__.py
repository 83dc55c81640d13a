"""Run ONNX's conformance suite and write docs/conformance.md: ``python -m tests.conformance``.

Interrupted, the same command goes on with the cases that are not in ``--out`` yet.
"""

from __future__ import annotations

import argparse
import csv
import platform as computer
import re
from collections import Counter
from dataclasses import asdict, fields
from importlib.metadata import version
from pathlib import Path

from hetsim.io.platform_file import load_platform
from tests.conformance.suite import KINDS, Outcome, Suite, kind_of

_COLUMNS = [field.name for field in fields(Outcome)]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/conformance/cases.csv"), help="a row for each case")
    parser.add_argument("--docs", type=Path, default=Path("docs/conformance.md"), help="where the table goes")
    parser.add_argument("--platform", default="cpu+npu", help="built-in platform or TOML file")
    parser.add_argument("--cases", default="", help="a regular expression: run those cases alone, write no page")
    parser.add_argument("--seed", type=int, default=0, help="of all placements")
    options = parser.parse_args()
    suite = Suite()
    outcomes = _read(options.out)
    known = {(outcome.group, outcome.case) for outcome in outcomes}
    left = [
        case
        for case in suite.cases
        if (case[0].removesuffix("Model"), case[1].removesuffix("_cpu")) not in known
        and re.search(options.cases, case[1].removesuffix("_cpu"))
    ]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with open(options.out, "a", newline="") as file:
        writer = csv.DictWriter(file, _COLUMNS)
        if not outcomes:
            writer.writeheader()
        for outcome in suite.run(left, load_platform(options.platform), seed=options.seed):
            outcomes.append(outcome)
            writer.writerow(asdict(outcome))
            file.flush()
            if outcome.status == "failed":
                print(f"FAILED {outcome.group} {outcome.case}: {outcome.reason}", flush=True)
            if len(outcomes) % 100 == 0:
                print(f"{len(outcomes)} of {len(suite.cases)} cases", flush=True)
    if not options.cases:
        text = _page(outcomes, options.platform, options.seed)
        options.docs.write_text(text)
        print(text)
    raise SystemExit(any(outcome.status == "failed" for outcome in outcomes))


def _read(path: Path) -> list[Outcome]:
    if not path.exists():
        return []
    with open(path, newline="") as file:
        return [
            Outcome(
                group=row["group"],
                case=row["case"],
                status=row["status"],
                reason=row["reason"],
                alone=row["alone"] == "True",
                in_scope=row["in_scope"] == "True",
                num_ops=int(row["num_ops"]),
                num_devices=int(row["num_devices"]),
            )
            for row in csv.DictReader(file)
        ]


def _page(outcomes: list[Outcome], platform: str, seed: int) -> str:
    """The page as Markdown."""
    count = Counter((outcome.group, outcome.status) for outcome in outcomes)
    groups = list(dict.fromkeys(outcome.group for outcome in outcomes))
    statuses = ("passed", "refused", "failed", "apart")
    rows = [
        f"| {name} | {' | '.join(str(count[group, status]) for status in statuses)} |"
        for group, name in [(group, _GROUPS.get(group, group)) for group in groups]
    ]
    total = Counter(outcome.status for outcome in outcomes)
    totals = " | ".join(f"**{total[status]}**" for status in statuses)
    alone = [outcome for outcome in outcomes if outcome.alone]
    scope = [outcome for outcome in alone if outcome.in_scope]
    passed = sum(outcome.status == "passed" for outcome in scope)
    spread = sum(outcome.status == "passed" and outcome.num_devices > 1 for outcome in outcomes)
    several = sum(outcome.status == "passed" and outcome.num_ops > 1 for outcome in outcomes)
    reasons = Counter(kind_of(o.reason) for o in outcomes if o.status == "refused")
    within = Counter(kind_of(o.reason) for o in scope if o.status == "refused")
    order = [name for name, _ in KINDS if reasons[name]] + (["other"] if reasons["other"] else [])
    apart = ", ".join(f"`{o.case.removeprefix('test_')}`" for o in outcomes if o.status == "apart")
    failed = "".join(f"- `{o.case}`: {o.reason}\n" for o in outcomes if o.status == "failed")
    return f"""# Conformance

ONNX publishes a conformance suite for backends. This page is what came of it when each model's operators are spread at
random over two devices: any cut, any placement, and still the answers of the suite. `make conformance` runs it and
writes this page; a sample of it runs in `make test`.

onnx {version("onnx")}, onnxruntime {version("onnxruntime")}, openvino {version("openvino")}, Python
{computer.python_version()}; platform `{platform}`, whose `npu` is a stand-in (OpenVINO's CPU plugin), seed {seed}.

| cases | passed | refused | failed | apart |
|---|---|---|---|---|
{chr(10).join(rows)}
| **all {len(outcomes)}** | {totals} |

*Passed*: the suite's runner found the outputs right. *Refused*: an error said which operator or tensor is out of scope,
and why, before anything ran. *Failed*: wrong, or ended in the middle. *Apart*: ONNX Runtime does not pass the case
alone, and a plan that is spread does not either; there is nothing to hold it against.

ONNX Runtime alone passes {len(alone)} cases. {len(scope)} of these are of static shape and a single graph by what their
file says; {passed} of them pass, {100 * passed / max(1, len(scope)):.1f} %. Of the cases that passed, {several} have
several operators, and {spread} ran on both devices.

| why refused | cases | of static shape, single-graph, passed by ONNX Runtime alone |
|---|---|---|
{chr(10).join(f"| {name} | {reasons[name]} | {within[name]} |" for name in order)}

The rest of the last column are operators that ONNX defines by others: the reference engine resolves them when it loads
a model, and then a tensor in between is of open shape, or a loop appears.

{"Apart: " + apart + "." if apart else ""}
{chr(10) + "Failed:" + chr(10) + chr(10) + failed if failed else ""}
## What the suite found

- **OpenVINO drops inputs that do not matter**, so tensors are bound by name. By number, a segment read its neighbour.
- **OpenVINO leaves an output unwritten that is an input as it is** (a dropout, a maximum of one). Such segments are
  refused there and run elsewhere.
- **OpenVINO's CPU plugin computes many operators otherwise than the standard says**: float64, integers of 64 bits,
  shifts, extremes over infinities, an LSTM's peepholes, and others. Probes find them before an operator is placed
  (decision 31). Nothing is assumed of the suite's inputs, which hold NaN and infinities.
- **An engine may raise anything while it compiles or binds**; that is a refusal now, and the worker lives on.
"""


_GROUPS = {
    "Node": "single operators, and the same written out",
    "Real": "real networks",
    "Simple": "small graphs",
    "PyTorchConverted": "converted from PyTorch",
    "PyTorchOperator": "PyTorch's operators",
}


if __name__ == "__main__":
    main()
