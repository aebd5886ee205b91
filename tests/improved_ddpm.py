"""The numbers of improved-diffusion: its arrays channels last, and its chains as ours."""

import pathlib

import jax.numpy as jnp
import numpy as np
import pytest

from scoresde import predictions, sdes
from scoresde.denoiser import Denoiser

FOLDER = pathlib.Path(__file__).parent / "data" / "golden"
KIND = predictions.Noise(learned_variance=True)
CHAINS = {
    "linear_T50": sdes.DiscreteVP(num_scales=50),
    "cosine_T1000_50": sdes.DiscreteCosine(),
    "cosine_T1000_ddim25": sdes.DiscreteCosine(),
}
CASES = [
    pytest.param(name, marks=[pytest.mark.thorough] * (name != "cosine_T1000_50"))
    for name in CHAINS
]
"""Of tests of all chains: one that is respaced suffices every day; tests/test_sdes.py has all."""

VARIANCES = {"posterior": "fixed_small", "forward": "fixed_large", "learned": "learned_range"}


class Golden:
    """A file of them: `golden["f64/x_t"]` finds f64/x_t_nchw too, channels last.

    Attributes:
        sde: the whole chain.
        times: of the levels of the sub-chain, ascending.
        level: which of them the single images are at.
    """

    def __init__(self, name, folder=FOLDER, prefix="iddpm_", sde=None):
        self.arrays = np.load(folder / f"{prefix}{name}.npz")
        self.sde = CHAINS[name] if sde is None else sde
        self.times = self.arrays["timestep_map"] / self.sde.chain_steps
        self.level = self.arrays["t"]

    def __getitem__(self, name):
        for ending in ("_nchw", "_tnchw"):
            if name + ending in self.arrays:
                return channels_last(self.arrays[name + ending])
        value = self.arrays[name]
        return channels_last(value) if value.ndim == 4 else jnp.asarray(value)

    @property
    def denoiser(self):
        """One that outputs what the condition "output" says."""
        return Denoiser(self.sde, KIND, _output, None)


def _output(params, x, t, condition):
    return condition["output"]


def channels_last(array):
    return jnp.asarray(np.moveaxis(array, -3, -1), float)
