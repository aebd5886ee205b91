"""Samples given an observation, as a job computes them."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from scoresde.condition import Condition
from scoresde.keys import fold_in
from scoresde.observations import Observation
from scoresde.runs.restoring.inputs import Inputs
from scoresde.runs.restoring.methods import observed_by
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

    Raises:
        UsageError: as `observed_by`.
    """
    sampling, shape = model.experiment.sampling, model.codec.shape
    limits = model.codec.data_range if clip else None
    way = observed_by(method, model.denoiser, observation, sampling, limits)
    way.sampling.sampler.check(way.denoiser)

    def draw(keys: jax.Array, condition: Condition) -> Samples:
        return way.sampling.sample(
            keys, way.denoiser, (len(keys), *shape), condition=condition, constraint=way.constraint
        )

    return Work(
        inputs=inputs,
        condition=condition,
        draw=draw,
        shown=shown,
        finish=finish or (lambda x, rows: np.asarray(model.codec.decode(x))),
        record={**record, "clip": clip},
    )


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
