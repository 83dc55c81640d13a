"""What the steps of a tune run share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hetsim.core.plan import Plan
from hetsim.core.platform import Platform
from hetsim.core.problem import Problem
from hetsim.core.timeline import Timeline
from hetsim.costs.cost_model import CostModel
from hetsim.costs.problems import fitted
from hetsim.costs.profile_file import ProfileFile
from hetsim.costs.refusals import refusal
from hetsim.models.model import Model
from hetsim.models.values.trust import TRUSTING, Trust
from hetsim.runtime import RefusedError, Runtime, Session
from hetsim.runtime.measure.profiler import Effort, make_header
from hetsim.runtime.measure.profiler import replay as replay_plan
from hetsim.sim.simulate import makespan_s, simulate
from hetsim.tuner.options import Options
from hetsim.tuner.progress import Stages
from hetsim.tuner.steps.expected_outputs import ExpectedOutputs
from hetsim.tuner.target import Target


@dataclass(frozen=True, kw_only=True)
class TuningContext:
    """The running devices of a target, the file that grows with measurements, and the options of the run.

    Attributes:
        runtime: The target's devices, running.
        target: The machine that plans are made for and executed on.
        file: Gets the serial runs of plans on the target.
        expected: The inputs of all executions and the outputs that they should give.
        options: How thorough the run is.
        stages: Where progress is shown.
    """

    runtime: Runtime
    target: Target
    file: ProfileFile
    expected: ExpectedOutputs
    options: Options
    stages: Stages

    @property
    def model(self) -> Model:
        """The model to execute."""
        return self.target.model

    @property
    def platform(self) -> Platform:
        """The devices."""
        return self.target.platform

    def problem(self) -> Problem:
        """The planning problem that the measurements so far give.

        Raises:
            ProblemError: If an operator runs on no device.
        """
        return self.target.problem(self.file.profile)

    def cost_model(self) -> CostModel:
        """The costs that the measurements so far give.

        Raises:
            ProfileError: If nothing was measured on some device.
        """
        return fitted(self.model, self.platform, self.file.profile)

    def plan_problem(self, plan: Plan) -> Problem:
        """The problem as the plan meets it, from its own serial runs if there are any."""
        return self.target.plan_problem(self.file.profile, plan)

    def simulate(self, plan: Plan) -> Timeline:
        """The plan, simulated by what has been measured so far."""
        return simulate(self.plan_problem(plan), plan)

    def makespan_s(self, plan: Plan) -> float:
        """The plan's simulated makespan by what has been measured so far, in seconds."""
        return makespan_s(self.plan_problem(plan), plan)

    def load(self, plan: Plan) -> Session:
        """The plan, compiled on the devices.

        Raises:
            RefusedError: If an engine does not take one of its segments.
            DeviceError: If a device failed.
        """
        return self.runtime.load(self.model, plan, emulation=self.target.emulation)

    def refusal(self, plan: Plan) -> RefusedError | None:
        """The first refusal of one of the plan's segments by an engine; None if the engines take them all.

        Raises:
            DeviceError: If a device failed.
        """
        try:
            self.load(plan).close()
        except RefusedError as refusal:
            return refusal
        return None

    def note(self, refused: RefusedError) -> None:
        """Record in the file that a device does not take a segment, so that no later plan contains it."""
        graph, ahead = self.model.graph, self.target.is_emulated
        self.file.add(refusal(graph, refused.device, refused.segment, str(refused), groups_alone=ahead))

    def replay(self, plan: Plan, effort: Effort | None = None, *, anew: bool = False) -> str:
        """Run the plan serially and record its segments; returns the context that the samples are recorded in.

        Args:
            plan: The plan.
            effort: How often; None stands for the effort of the options.
            anew: Whether to add samples if the file already has a replay of this plan.

        Raises:
            RefusedError: If an engine does not take one of its segments.
            DeviceError: If a device failed.
        """
        return replay_plan(self.runtime, self.model, plan, self.file, effort=effort or self.options.effort, anew=anew)


@contextmanager
def open_context(
    target: Target,
    path: Path,
    *,
    expected: ExpectedOutputs,
    trust: Trust = TRUSTING,
    options: Options,
    stages: Stages,
) -> Iterator[TuningContext]:
    """Start the target's devices and open the file in ``path`` that its serial runs go into.

    Raises:
        HetsimError: If a device cannot be started, or the file holds measurements of something else.
    """
    with (
        Runtime(target.platform, trust=trust) as runtime,
        ProfileFile(path, make_header(runtime, target.model)) as file,
    ):
        yield TuningContext(
            runtime=runtime, target=target, file=file, expected=expected, options=options, stages=stages
        )
