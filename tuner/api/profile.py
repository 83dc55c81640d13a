"""``hetsim.profile``."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from hetsim.tuner.api.sources import to_model, to_platform, to_trust
from hetsim.tuner.progress import Silent, Stages

if TYPE_CHECKING:
    from hetsim.costs.profile import Profile
    from hetsim.models.values.trust import Trust
    from hetsim.runtime.measure.profiler import Effort
    from hetsim.tuner.api.sources import ModelLike, PlatformLike


def profile(
    model: ModelLike,
    *,
    platform: PlatformLike | None = None,
    out: Path | str | None = None,
    effort: Effort | None = None,
    trust: Trust | None = None,
    stages: Stages | None = None,
) -> Profile:
    """Measure operators and groups of operators of a model on every real device of a platform.

    Of a paced device, whose times are emulated, it is found out what its engine refuses.

    >>> import hetsim, onnx
    >>> net = onnx.parser.parse_model(
    ...     '<ir_version: 8, opset_import: ["": 17]> net (float[1, 8] x) => (float[1, 8] y) { t = Abs(x) y = Neg(t) }'
    ... )
    >>> model = hetsim.import_model(net, name="net")
    >>> desk = hetsim.Platform(name="desk", devices=(hetsim.Device(name="cpu", kind="cpu", backend="fake"),))
    >>> found = hetsim.profile(model, platform=desk, effort=hetsim.Effort(repeats=3, warm_ups=1))
    >>> found.num_segments
    3

    Args:
        model: The model, the name of one of the zoo, or the path of an .onnx file.
        platform: The devices, a built-in platform's name or a TOML file; None stands for the default.
        out: The file that the profile is written to as it grows; an existing one is resumed. None keeps no file.
        effort: How often segments are measured.
        trust: What is assumed of inputs and accepted of devices; None stands for finite floats and confirmed devices.
        stages: Where progress is shown; None shows nothing.

    Raises:
        HetsimError: If the model or the platform cannot be used, a device fails, or the file is of something else.
    """
    from hetsim.costs.profile_file import ProfileFile
    from hetsim.runtime.measure.profiler import Effort, make_header, measure_configurations
    from hetsim.runtime.runtime import Runtime
    from hetsim.tuner.steps.profiling import ask_paced, explore
    from hetsim.tuner.steps.readiness import check_machine, check_profile, paced_engines

    found, whole = to_model(model), to_platform(platform)
    devices, paced = whole.measured_part(), paced_engines(whole)
    effort, stages = effort or Effort(), stages or Silent()
    given = to_trust(found, trust)
    check_machine(devices, stages)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "profile.jsonl" if out is None else Path(out)
        with Runtime(devices, trust=given) as runtime, ProfileFile(path, make_header(runtime, found, paced)) as file:
            check_profile(runtime, found, file.profile, effort=effort, stages=stages)
            with stages.stage("profile") as report:
                measure_configurations(runtime, found, file, effort=effort, progress=report)
            with stages.stage("profile, where the search goes") as report:
                explore(runtime, found, devices, file, effort=effort, report=report)
            ask_paced(found, whole, file, stages)
            return file.profile
