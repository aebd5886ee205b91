"""Score-based generative models in continuous time, in JAX.

    sde = scoresde.sdes.VP()
    denoiser = scoresde.Denoiser(sde, prediction, network, params)
    sampler = scoresde.samplers.get("pc")
    samples = scoresde.samplers.sample(key, sampler, denoiser, shape, steps=1000)
    result = scoresde.likelihood.log_prob(key, denoiser, x)

    run = scoresde.load("runs/digits")        # a work directory
    drawn = run.generate(64)

    scoresde.configure()                      # first: what the command line does to be quick

Submodules are imported when first used, so `import scoresde` itself is quick and touches no device.
"""

import importlib

__version__ = "0.1.0"

_SUBMODULES = (
    "analytic",
    "augmentations",
    "codecs",
    "condition",
    "configs",
    "data",
    "denoiser",
    "dequantization",
    "evaluation",
    "experiment",
    "guidance",
    "jobs",
    "keys",
    "labeled_mixture",
    "likelihood",
    "losses",
    "metrics",
    "networks",
    "observations",
    "ode",
    "predictions",
    "pretrained",
    "published",
    "registry",
    "runs",
    "samplers",
    "sdes",
    "speed",
    "times",
    "training",
    "variances",
)
# Name here -> (module, name there).
_NAMES = {
    "Denoiser": ("denoiser", "Denoiser"),
    "Prediction": ("predictions", "Prediction"),
    "Run": ("runs", "Run"),
    "UsageError": ("registry", "UsageError"),
    "configure": ("speed", "configure"),
    "build": ("experiment", "build"),
    "load": ("runs", "Run"),
    "load_config": ("experiment", "load_config"),
}

__all__ = [*_SUBMODULES, *_NAMES]


def __getattr__(name: str):
    if name in _SUBMODULES:
        return importlib.import_module(f"scoresde.{name}")
    if name in _NAMES:
        module, attribute = _NAMES[name]
        return getattr(importlib.import_module(f"scoresde.{module}"), attribute)
    raise AttributeError(f"module 'scoresde' has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *__all__])
