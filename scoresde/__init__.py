"""Score-based generative models in continuous time, in JAX.

    sde = scoresde.sdes.VP()
    denoiser = scoresde.Denoiser(sde, prediction, network, params)
    sampler = scoresde.samplers.get("pc")
    samples = scoresde.samplers.sample(key, sampler, denoiser, shape, steps=1000)
    result = scoresde.likelihood.log_prob(key, denoiser, x)

Submodules are imported when first used, so `import scoresde` itself is quick and touches no device.
"""

import importlib

__version__ = "0.1.0"

_SUBMODULES = (
    "analytic",
    "codecs",
    "data",
    "denoiser",
    "dequantization",
    "keys",
    "likelihood",
    "losses",
    "metrics",
    "networks",
    "ode",
    "predictions",
    "pretrained",
    "registry",
    "samplers",
    "sdes",
    "times",
    "training",
)
_NAMES = {"Denoiser": "denoiser", "Prediction": "predictions", "UsageError": "registry"}

__all__ = [*_SUBMODULES, *_NAMES]


def __getattr__(name: str):
    if name in _SUBMODULES:
        return importlib.import_module(f"scoresde.{name}")
    if name in _NAMES:
        return getattr(importlib.import_module(f"scoresde.{_NAMES[name]}"), name)
    raise AttributeError(f"module 'scoresde' has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *__all__])
