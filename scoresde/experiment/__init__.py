"""Experiments: from a config to objects.

    experiment = build(load_config("configs/vp/digits.py", ["--config.training.num_steps=500"]))
    denoiser = experiment.denoiser(experiment.init(jax.random.key(0)))

Only this package and the command line know what a ConfigDict is.
"""

from scoresde.experiment.build import build
from scoresde.experiment.config_file import load_config
from scoresde.experiment.experiment import Experiment, Sampling
from scoresde.experiment.record import (
    as_json,
    model_sections,
    read_config,
    resolved,
    training_differences,
)

__all__ = [
    "Experiment",
    "Sampling",
    "as_json",
    "build",
    "load_config",
    "model_sections",
    "read_config",
    "resolved",
    "training_differences",
]
