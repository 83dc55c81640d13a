"""``hetsim tune``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hetsim.core.platform import DEFAULT_PLATFORM
from hetsim.tuner.cli.arguments import (
    AcceptOption,
    AssumeOption,
    CustomOpsOption,
    ExplorationsOption,
    FixOption,
    InputsOption,
    ModelArgument,
    PlatformOption,
    RangeOption,
    SeedOption,
    SetOption,
    ShapeOption,
)
from hetsim.tuner.cli.screen import hypothesis, say, screen, warn

if TYPE_CHECKING:
    from hetsim.analysis.scenario import Scenario
    from hetsim.core.platform import Platform
    from hetsim.models.model import Model
    from hetsim.models.values.trust import Trust
    from hetsim.runtime.backends.protocol import Array
    from hetsim.tuner.options import Options

_AlsoOption = Annotated[
    list[str], typer.Option("--also", metavar="SCHEDULER", help="Execute this scheduler's plan as well.")
]
_TimeLimitOption = Annotated[
    float | None,
    typer.Option(
        "--time-limit",
        metavar="SECONDS",
        help="Rounds of the search end by then, as on Ctrl-C; the final measurement comes on top.",
    ),
]
_SplitsOption = Annotated[bool, typer.Option(help="Look for plans in which several devices work on one operator, too.")]
_RecalibrateOption = Annotated[
    bool, typer.Option("--recalibrate", help="Measure launches, hand-overs and memory although they are known.")
]
_ObjectiveOption = Annotated[
    str,
    typer.Option(
        metavar="latency|throughput|p99",
        help="One inference alone, requests per second, or the 99th percentile of latencies with requests --every.",
    ),
]
_EveryOption = Annotated[str, typer.Option(metavar="TIME", help="Time between requests, for p99: 33ms.")]
_MaxLatencyOption = Annotated[
    str, typer.Option("--max-latency", metavar="TIME", help="Largest 99th percentile of latencies: 50ms.")
]


def tune(
    model: ModelArgument,
    out: Annotated[Path, typer.Option("--out", help="Folder for everything that is found.")],
    platform: PlatformOption = DEFAULT_PLATFORM,
    shape: ShapeOption = [],  # noqa: B006  (typer reads it)
    fix: FixOption = [],  # noqa: B006
    custom_ops: CustomOpsOption = [],  # noqa: B006
    seed: SeedOption = 0,
    also: _AlsoOption = [],  # noqa: B006
    rounds: Annotated[int, typer.Option(min=1, help="How often the search learns what its plans really take.")] = 3,
    time_limit: _TimeLimitOption = None,
    max_evaluations: Annotated[int, typer.Option(min=0, help="Candidates that each search simulates.")] = 3000,
    repeats: Annotated[int, typer.Option(min=3, help="Samples of each segment.")] = 6,
    explorations: ExplorationsOption = 4,
    runs: Annotated[int, typer.Option(min=3, help="Counted executions of each plan.")] = 60,
    splits: _SplitsOption = True,
    recalibrate: _RecalibrateOption = False,
    objective: _ObjectiveOption = "latency",
    every: _EveryOption = "",
    max_latency: _MaxLatencyOption = "",
    scenario: SetOption = [],  # noqa: B006
    inputs: InputsOption = None,
    assume: AssumeOption = "finite",
    accept: AcceptOption = [],  # noqa: B006
    ranges: RangeOption = [],  # noqa: B006
) -> None:
    """Profile, plan with every scheduler, simulate, execute, and keep the plan that measured best.

    What --set changes is profiled as it is, and then emulated as it would be. With --objective throughput or p99, a
    deployment is found: plans that serve requests side by side, as a pipeline, or round robin.
    """
    from hetsim.analysis.scenario import parse_scenario
    from hetsim.io.platform_file import load_platform
    from hetsim.models.values.trust import parse_trust
    from hetsim.runtime.measure.profiler import Effort
    from hetsim.tuner.cli.executing import read_inputs
    from hetsim.tuner.cli.serving.objective import parse_objective, tune_for_requests
    from hetsim.tuner.cli.sources import Bindings, read_model
    from hetsim.tuner.options import Options, Pace

    changes, goal = parse_scenario(scenario), parse_objective(objective, every, max_latency)
    options = Options(
        seed=seed,
        also=tuple(also),
        rounds=rounds,
        time_limit_s=time_limit,
        max_evaluations=max_evaluations,
        effort=Effort(repeats=repeats, explorations=explorations),
        pace=Pace(num_runs=runs),
        splits=splits,
        recalibrate=recalibrate,
        command=("hetsim", *sys.argv[1:]),
    )
    found, devices = read_model(model, Bindings(shape, fix, custom_ops)), load_platform(platform)
    trust, values = parse_trust(assume, accept, ranges), None if inputs is None else read_inputs(inputs)
    if goal is not None:
        tune_for_requests(found, devices, out, goal, scenario=changes, inputs=values, trust=trust, options=options)
    else:
        _tune_for_latency(found, devices, out, scenario=changes, inputs=values, trust=trust, options=options)


def _tune_for_latency(
    model: Model,
    platform: Platform,
    out: Path,
    *,
    scenario: Scenario,
    inputs: Mapping[str, Array] | None,
    trust: Trust,
    options: Options,
) -> None:
    from hetsim.tuner.api.tune import tune as tune_model
    from hetsim.tuner.progress import OnScreen
    from hetsim.tuner.report.screen import print_outcome

    outcome = tune_model(
        model,
        out,
        platform=platform,
        scenario=scenario,
        inputs=inputs,
        trust=trust,
        options=options,
        stages=OnScreen(screen()),
    )
    warn(hypothesis(scenario))
    print_outcome(outcome, screen())
    say(f"Look at {out / 'report.html'} and {out / 'timeline.png'}; open {out / 'measured.trace.json'} in Perfetto.")
