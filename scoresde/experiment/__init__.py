"""Experiments: from a config to objects.

    experiment = build(load_config("vp/digits", ["--config.training.num_steps=500"]))
    denoiser = experiment.denoiser(experiment.init(jax.random.key(0)))

Only this package and the command line know what a ConfigDict is.
"""

from scoresde.experiment.as_python import as_python
from scoresde.experiment.build import build
from scoresde.experiment.config_file import load_config
from scoresde.experiment.experiment import Experiment, Sampling
from scoresde.experiment.record import (
    as_json,
    model_sections,
    read_config,
    read_environments,
    training_differences,
    with_defaults,
    with_environments,
)
from scoresde.experiment.remarks import too_short

__all__ = [
    "Experiment",
    "Sampling",
    "as_json",
    "as_python",
    "build",
    "load_config",
    "model_sections",
    "read_config",
    "read_environments",
    "with_defaults",
    "with_environments",
    "too_short",
    "training_differences",
]
