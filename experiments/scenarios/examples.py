"""Ten scenarios of two to four models."""

from __future__ import annotations

from typing import Literal

from hetsim.io.serving.scenario_file import ModelRequests, ServingScenario

_Pattern = Literal["periodic", "poisson", "bursty"]
VOICE = "voice"
"""A model of this name is a voice detector; the caller says which file it is."""


def _requests(model: str, every_ms: float, pattern: _Pattern = "periodic", deadline_ms: float = 0.0) -> ModelRequests:
    return ModelRequests(
        name=model,
        model=model,
        every_s=every_ms * 1e-3,
        pattern=pattern,
        burst=3,
        deadline_s=(deadline_ms or every_ms) * 1e-3,
    )


def examples(seconds: float, *, voice: str = "") -> dict[str, ServingScenario]:
    """By name, the scenarios; the one with the voice detector is left out without its file.

    Rates are low: what counts is by how much they may grow. Where models look at one camera, they have one rate.

    Args:
        seconds: How long requests are due.
        voice: The file of a voice detector, which hears 32 ms at a time.
    """
    found = {
        "one camera, two models": (_requests("squeezenet", 100), _requests("resnet18", 100)),
        "camera and stills": (_requests("mobilenet_v2", 33), _requests("resnet18", 200)),
        "small beside large": (_requests("shufflenet", 100), _requests("inception_v2", 150)),
        "random stills": (_requests("squeezenet", 40), _requests("resnet18", 150, "poisson", 200)),
        "bursts": (_requests("shufflenet", 60, "bursty", 120), _requests("mobilenet_v2", 60)),
        "one camera, three models": (
            _requests("squeezenet", 100),
            _requests("mobilenet_v2", 100),
            _requests("shufflenet", 100),
        ),
        "tight and loose": (
            _requests("squeezenet", 100, deadline_ms=25),
            _requests("resnet18", 150),
            _requests("shufflenet", 100),
        ),
        "mixed arrivals": (
            _requests("mobilenet_v2", 80, "poisson", 100),
            _requests("squeezenet", 80, "bursty", 160),
            _requests("inception_v1", 200),
        ),
        "one camera, four models": (
            _requests("squeezenet", 150),
            _requests("mobilenet_v2", 150),
            _requests("shufflenet", 150),
            _requests("resnet18", 150),
        ),
    }
    if voice:
        heard = ModelRequests(name=VOICE, model=voice, every_s=0.032, deadline_s=0.032)
        found["assistant"] = (heard, _requests("mobilenet_v2", 66), _requests("inception_v2", 300))
    return {name: ServingScenario(models=models, seconds=seconds) for name, models in found.items()}
