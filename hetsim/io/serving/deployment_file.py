"""Deployments as JSON files: plans by name, which of them serve requests, and how requests are dispatched."""

from __future__ import annotations

from pathlib import Path

import msgspec

from hetsim.core.errors import PlanError
from hetsim.core.serving.deployment import Deployment, Dispatch, Instance
from hetsim.io.files import read_bounded, write_atomically
from hetsim.io.plan_file import load_plan, save_plan

FORMAT = 1


class _InstanceFile(msgspec.Struct, forbid_unknown_fields=True):
    plan: str
    num_slots: int


class _DeploymentFile(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    format: int = FORMAT
    model: str
    dispatch: Dispatch
    cycle: tuple[int, ...] = ()
    every_s: float = 0.0
    instances: list[_InstanceFile]


def save_deployment(deployment: Deployment, path: Path, *, every_s: float = 0.0) -> None:
    """Write a deployment as JSON, and its plans as ``STEM-1.json``, ``STEM-2.json`` and so on beside it.

    Args:
        deployment: The deployment.
        path: The file.
        every_s: The time between requests that it was found for; 0 if a request is always waiting.
    """
    names = [f"{path.stem}-{number}.json" for number in range(1, len(deployment.instances) + 1)]
    for name, one in zip(names, deployment.instances, strict=True):
        save_plan(one.plan, path.parent / name)
    content = _DeploymentFile(
        model=deployment.model,
        dispatch=deployment.dispatch,
        cycle=deployment.cycle,
        every_s=every_s,
        instances=[_InstanceFile(name, one.num_slots) for name, one in zip(names, deployment.instances, strict=True)],
    )
    write_atomically(path, msgspec.json.format(msgspec.json.encode(content), indent=1) + b"\n")


def load_deployment(path: Path) -> tuple[Deployment, float]:
    """Read a deployment and the time between requests that it was found for; its plans are beside it.

    Raises:
        PlanError: If a file is missing or malformed, or of another format, or the deployment contradicts itself.
    """
    try:
        content = msgspec.json.decode(read_bounded(path), type=_DeploymentFile)
    except OSError as error:
        raise PlanError(
            f"cannot read deployment {path}: {error.strerror}; make one with: hetsim tune MODEL --objective throughput"
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PlanError(f"deployment {path} is malformed: {error}") from None
    if content.format != FORMAT:
        raise PlanError(f"deployment {path} has format {content.format}, this version reads format {FORMAT}")
    instances = tuple(
        Instance(plan=load_plan(path.parent / one.plan), num_slots=one.num_slots) for one in content.instances
    )
    return Deployment(instances=instances, dispatch=content.dispatch, cycle=content.cycle), content.every_s
