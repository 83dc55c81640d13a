"""The page about conformance, from what came of the cases."""

from __future__ import annotations

import platform as computer
import re
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version

from tests.conformance.edges import EdgeOutcome
from tests.conformance.suite import KINDS, Outcome, kind_of


def page_of(outcomes: Sequence[Outcome], edges: Sequence[EdgeOutcome], platform: str, seed: int) -> str:
    """The page as Markdown.

    Args:
        outcomes: What came of the suite's cases.
        edges: What came of edge-valued inputs.
        platform: The platform's name.
        seed: Seed of the placements.
    """
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
    names = [o.case.removeprefix("test_") for o in outcomes if o.status == "apart"]
    narrow = [name for name in names if re.search(_NARROW, name)]
    apart = ", ".join(f"`{name}`" for name in names if name not in narrow)
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

ONNX Runtime alone passes {len(alone)} cases. {len(scope)} of these are in scope: all their inputs and outputs are
tensors of numbers, whether shapes are static or depend on data, control flow included. {passed} of them pass,
{100 * passed / max(1, len(scope)):.1f} %. Of the cases that passed, {several} have several operators, and {spread} ran
on both devices.

| why refused | cases | in scope, passed by ONNX Runtime alone |
|---|---|---|
{chr(10).join(f"| {name} | {reasons[name]} | {within[name]} |" for name in order)}

{f"Apart: {len(narrow)} of types that NumPy lacks, and " + apart + "." if apart else ""}
{chr(10) + "Failed:" + chr(10) + chr(10) + failed if failed else ""}
{_edge_section(edges)}
## What the suite found

- **OpenVINO drops inputs that do not matter**, so tensors are bound by name. By number, a segment read its neighbour.
- **OpenVINO leaves an output unwritten that is an input as it is** (a dropout, a maximum of one). Such segments are
  refused there and run elsewhere.
- **OpenVINO's CPU plugin computes many operators otherwise than the standard says**: float64, integers of 64 bits,
  shifts, extremes over infinities, an LSTM's peepholes, and others. Probes find them before an operator is placed
  (decision 31). Nothing is assumed of the suite's inputs, which hold NaN and infinities.
- **Engines hide infinities in a row that has nothing else**, and take coordinates as 32-bit integers; probes try whole
  rows and magnitudes up to 2^33 since.
- **An engine may raise anything while it compiles or binds**; that is a refusal now, and the worker lives on.
"""


def _edge_section(edges: Sequence[EdgeOutcome]) -> str:
    if not edges:
        return ""
    rows = [_edge_row(device, edges) for device in dict.fromkeys(one.device for one in edges)]
    wrong = "".join(f"- `{one.case}` on {one.device}: {one.reason}\n" for one in edges if one.status == "wrong")
    return f"""## Edge-valued inputs

Each case of one operator runs on each device alone with six sets of inputs of the case's types and shapes: integers
over the whole width of their type where they are data, next to powers of two, and small ones with ties, within bounds
where they index; floats next to 2^24 and 2^31, halves, zeros of both signs, denormal numbers, the largest finite ones
(of operators that add products, those that do not overflow), NaN and infinities. Inputs that decide sizes stay the
case's. The reference is ONNX Runtime on the case's untouched model, without optimisations. Integers must be equal,
floats within rounding; what overflows is left out. Floats are assumed to be finite, as by default.

{len({one.case for one in edges})} cases have inputs to draw:

| device | right | off by a probe | off by the engine | wrong | sets of inputs right | refused | left out |
|---|---|---|---|---|---|---|---|
{chr(10).join(rows)}

*Off by a probe*: the device would compute something else, so the operator runs elsewhere. *Off by the engine*: it does
not take the operator. *Refused*: the plan refuses the inputs when they are submitted, as they break what it assumes:
NaN and infinities, where a device has been probed with finite floats. *Left out*: the reference refuses them, too, or
an output has another size than the file says.

{wrong}"""


def _edge_row(device: str, edges: Sequence[EdgeOutcome]) -> str:
    own = [one for one in edges if one.device == device]
    count = Counter(one.status for one in own)
    count["probe"] = sum(one.status == "off" and "from the reference" in one.reason for one in own)
    count["engine"] = count["off"] - count["probe"]
    sums = [sum(getattr(one, name) for one in own) for name in ("num_right", "num_refused", "num_skipped")]
    return (
        f"| {' | '.join(map(str, (device, *(count[name] for name in ('right', 'probe', 'engine', 'wrong')), *sums)))} |"
    )


_NARROW = r"(?i)bfloat16|float8|u?int[24](?![0-9])"
"""Cases of types that NumPy lacks, by name."""

_GROUPS = {
    "Node": "single operators, and the same written out",
    "Real": "real networks",
    "Simple": "small graphs",
    "PyTorchConverted": "converted from PyTorch",
    "PyTorchOperator": "PyTorch's operators",
}
