"""How samples are made to have an observation: methods by name."""

import dataclasses
import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

from scoresde import guidance, observations, samplers
from scoresde.denoiser import BaseDenoiser
from scoresde.experiment import Sampling
from scoresde.observations import Observation
from scoresde.plain import hints_of
from scoresde.registry import UsageError, UsageWarning, lookup, make, make_around, shown
from scoresde.runs.restoring.scale import PixelScale

# Those that put what is observed in its place: it is taken to be exact, and must be linear.
_EXACT = {
    "projected": guidance.Projected,
    "replacement": guidance.Replacement,
    "repaint": samplers.RePaint,
}


def conditional(denoiser: BaseDenoiser, observation: Observation) -> BaseDenoiser:
    """The network itself, which has been trained to be told what is observed."""
    return denoiser


METHODS = {**guidance.POSTERIORS, **_EXACT, "conditional": conditional}
"""Methods by name: guidance by an observation, what is replaced on the way, RePaint, and networks
that were trained for it."""


class Observed(NamedTuple):
    """A way of drawing samples that have an observation.

    Attributes:
        denoiser: reads "observation" of the condition, and what else the observation does.
        sampling: by which sampler.
        constraint: of the sampler, or None.
    """

    denoiser: BaseDenoiser
    sampling: Sampling
    constraint: Any


def section(what: str, value: Any) -> dict[str, Any]:
    """A name, or a section with a name and options, as a section.

    Raises:
        UsageError: it is neither.
    """
    if isinstance(value, str):
        return {"name": value}
    if isinstance(value, Mapping) and isinstance(value.get("name"), str):
        return dict(value)
    raise UsageError(
        f"The {what} is a name, or a section as {{'name': ..., option: value}}, not {shown(value)}."
    )


def observation_of(value: Any, scale: PixelScale) -> Observation:
    """The observation of a name or section, told the range of x where it asks for that.

    Raises:
        UsageError: unknown name or option, or a value out of range.
    """
    options = section("observation", value)
    kind = lookup("observation", observations.OBSERVATIONS, options["name"])
    if "data_range" in hints_of(kind):
        options.setdefault("data_range", (scale.low, scale.high))
    return observations.get(**options)


def observed_by(
    method: Any,
    denoiser: BaseDenoiser,
    observation: Observation,
    sampling: Sampling,
    clip: tuple[float, float] | None = None,
) -> Observed:
    """The method of a name or section, for this observation.

    Args:
        method: of METHODS.
        denoiser: the model.
        observation: what is observed.
        sampling: by which sampler.
        clip: (low, high) that E[x_0 | x_t] is clipped to after guidance, or None. Networks are bad
            Gaussians at high noise, and without it guidance of few steps goes astray. Not of what
            puts the observation in its place.

    Raises:
        UsageError: unknown name or option, what the method refuses, or a method for linear
            observations with another one.
    """
    options = section("method", method)
    name = options.pop("name")
    if name == "conditional":
        if options:
            raise UsageError(f"The method 'conditional' has no options, got {', '.join(options)}.")
        return Observed(denoiser, sampling, None)
    if name not in _EXACT:
        given = {"denoiser": denoiser, "observation": observation}
        guided = make_around(given, "method", METHODS, name, **options)
        if clip is not None:
            guided = guidance.ClipX0(guided, low=clip[0], high=clip[1])
        return Observed(guided, sampling, None)
    if not observation.linear:
        raise UsageError(
            f"{name!r} is for linear observations, and {type(observation).__name__} is not linear: "
            "take dps, pigdm or tmpd."
        )
    if name == "repaint":
        denoise = sampling.sampler.denoise
        sampler = make("method", METHODS, name, **{"denoise": denoise, **options})
        sampling = dataclasses.replace(sampling, sampler=sampler)
        if sampling.steps is not None and sampling.steps <= sampler.jump_length:
            warnings.warn(
                f"repaint goes back by {sampler.jump_length} steps and there are {sampling.steps}: "
                "it never does. Give --config.sampler.steps more, or a smaller jump_length.",
                UsageWarning,
                stacklevel=2,
            )
    elif options:
        raise UsageError(f"The method {name!r} has no options, got {', '.join(options)}.")
    constraint = None
    if name != "projected":
        constraint = guidance.Replacement(denoiser.sde, observation)
    return Observed(guidance.Projected(denoiser, observation), sampling, constraint)
