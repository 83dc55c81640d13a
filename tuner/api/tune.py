"""``hetsim.tune``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hetsim.tuner.api.sources import to_model, to_platform, to_scenario, to_trust
from hetsim.tuner.progress import Stages

if TYPE_CHECKING:
    from hetsim.models.values.trust import Trust
    from hetsim.tuner.api.sources import ModelLike, PlatformLike, ScenarioLike
    from hetsim.tuner.options import Options
    from hetsim.tuner.report.outcome import Outcome


def tune(
    model: ModelLike,
    out: Path | str,
    *,
    platform: PlatformLike | None = None,
    scenario: ScenarioLike = (),
    inputs: Mapping[str, Any] | None = None,
    trust: Trust | None = None,
    options: Options | None = None,
    stages: Stages | None = None,
) -> Outcome:
    """Calibrate, profile, plan, execute and judge: find the plan that measures best, and write all of it to a folder.

    >>> import hetsim, onnx, tempfile
    >>> net = onnx.parser.parse_model(
    ...     '<ir_version: 8, opset_import: ["": 17]> net (float[1, 8] x) => (float[1, 8] y) { t = Abs(x) y = Neg(t) }'
    ... )
    >>> model = hetsim.import_model(net, name="net")
    >>> desk = hetsim.Platform(
    ...     name="desk",
    ...     devices=(hetsim.Device(name="cpu", kind="cpu", backend="fake", options={"op_s": "0.001"}),),
    ...     calibration=hetsim.Calibration(date="2026-01-01T00:00:00+00:00", machine="desk", num_samples=1),
    ... )
    >>> quick = hetsim.Options(
    ...     rounds=1, splits=False, max_evaluations=20, effort=hetsim.Effort(repeats=3, warm_ups=1),
    ...     pace=hetsim.Pace(num_runs=3, stall_budget_s=0.0),
    ... )
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     outcome = hetsim.tune(model, folder, platform=desk, options=quick)
    >>> outcome.outputs_match
    True

    Args:
        model: The model, the name of one of the zoo, or the path of an .onnx file.
        out: The folder; :func:`hetsim.tuner.pipeline.tune` says what it gets. An interrupted run can be resumed.
        platform: The devices, a built-in platform's name or a TOML file; None stands for the default.
        scenario: Changes to the machine, such as ``"npu.speed=4"``; changed devices are emulated.
        inputs: The model's inputs by tensor, with which plans are executed; None stands for random ones. Integers are
            assumed to stay in the range that they have in them.
        trust: What is assumed of inputs and accepted of devices; None stands for finite floats and confirmed devices.
        options: How thorough the run is.
        stages: Where progress is shown; None shows nothing.

    Raises:
        HetsimError: If the model, the platform or a device cannot do what is asked, or the folder is in use.
        OSError: If the folder cannot be written.
    """
    from hetsim.tuner.pipeline import tune as tune_model

    found = to_model(model)
    return tune_model(
        found,
        to_platform(platform),
        Path(out),
        scenario=to_scenario(scenario),
        inputs=inputs,
        trust=to_trust(found, trust, inputs),
        options=options,
        stages=stages,
    )
