"""Samples given an observation, as a job computes them."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from scoresde.condition import Condition
from scoresde.keys import fold_in
from scoresde.observations import Observation
from scoresde.registry import UsageError
from scoresde.runs.restoring.inputs import Inputs
from scoresde.runs.restoring.methods import observed_by, section
from scoresde.runs.restoring.request import Model, Work
from scoresde.samplers import Samples

# Folded into an input's key for the noise of what is observed of it; samples fold in their number.
_OBSERVE = 2**31 - 1


def observed_work(
    model: Model,
    inputs: Inputs,
    observation: Observation,
    method: Any,
    condition: Mapping[str, np.ndarray],
    *,
    clip: bool,
    shown: Mapping[str, np.ndarray],
    record: Mapping[str, Any],
    finish: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
    augmentation: float | None = None,
) -> Work:
    """The work of drawing samples that have an observation.

    Args:
        model: the model.
        inputs: the inputs.
        observation: what is observed of an image.
        method: a name or section of METHODS.
        condition: "observation" and what else is read, a row an input.
        clip: whether guided x_0 are clipped to the data's range, see `observed_by`.
        shown: as of `Work`, and what follows.
        record: of what was asked for.
        finish: the nearest levels if None.
        augmentation: of the method "conditional", the level of noise of what the network is told.

    Raises:
        UsageError: as `observed_by`.
    """
    sampling, shape = model.experiment.sampling, model.codec.shape
    limits = model.codec.data_range if clip else None
    if not clip:
        sampling = dataclasses.replace(sampling, clip=None)
    way = observed_by(method, model.denoiser, observation, sampling, limits)
    way.sampling.sampler.check(way.denoiser)
    way.sampling.sampler.check_constraint(way.constraint)
    told = None
    if section("method", method)["name"] == "conditional":
        told = told_to_network(model, observation, augmentation)
    else:
        if model.experiment.degradation is not None:
            raise UsageError(
                "The network of this run is told what is observed, and is restored by no other "
                "method: --method conditional."
            )
        if augmentation is not None:
            raise UsageError("A level of augmentation is of the method 'conditional'.")

    def draw(keys: jax.Array, condition: Condition) -> Samples:
        if told is not None:
            condition = told(fold_in(keys, _OBSERVE), condition)
        return way.sampling.sample(
            keys, way.denoiser, (len(keys), *shape), condition=condition, constraint=way.constraint
        )

    return Work(
        inputs=inputs,
        condition=condition,
        draw=draw,
        shown=shown,
        finish=finish or (lambda x, rows: np.asarray(model.codec.decode(x))),
        record={**record, "clip": clip}
        | ({} if augmentation is None else {"augmentation": augmentation}),
    )


def told_to_network(
    model: Model, observation: Observation, augmentation: float | None
) -> Callable[[jax.Array, Condition], Condition]:
    """(keys, condition with an "observation") -> what the network was trained to be told of it.

    Raises:
        UsageError: the network was trained to be told nothing, or something else.
    """
    degradation = model.experiment.degradation
    if degradation is None:
        raise UsageError(
            "The method 'conditional' is of a network that was trained to be told what is "
            "observed, by config.data.condition_from; this one was not."
        )
    trained = degradation.observation
    # No noise is what a request has that does not say.
    quiet = dataclasses.replace(trained, noise=0.0)
    if observation not in (trained, quiet):
        raise UsageError(f"The network was trained for {trained}, not for {observation}.")
    level = None if degradation.augmentation is None else augmentation or 0.0
    if augmentation and degradation.augmentation is None:
        raise UsageError("This network was trained without augmentation, and takes no level of it.")
    if level:
        degradation.augmentation.check(level)
    names = model.denoiser.condition_names

    def told(keys: jax.Array, condition: Condition) -> Condition:
        made = degradation.tell(keys, condition["observation"], condition.get("mask"), level)
        rest = {name: condition[name] for name in condition if name == "label"}
        return rest | {name: made[name] for name in made if names is None or name in names}

    return told


def observe(
    key: jax.Array, observation: Observation, inputs: Inputs, x0: np.ndarray, batch_size: int
) -> np.ndarray:
    """What is observed of the clean inputs x0 [n, ...], float32; the noise is each one's own."""
    keys = fold_in(inputs.keys(key), _OBSERVE)
    size = min(batch_size, len(x0))
    rows = np.arange(math.ceil(len(x0) / size) * size).clip(max=len(x0) - 1)  # one program for all
    seen = jax.jit(observation.observe)
    parts = [seen(keys[some], x0[some]) for some in np.split(rows, len(rows) // size)]
    return np.concatenate([np.asarray(part, np.float32) for part in parts])[: len(x0)]
