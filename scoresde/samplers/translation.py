"""Editing by latents: encoded as one thing and decoded as another."""

import jax
from jax import Array

from scoresde.condition import Condition
from scoresde.denoiser import BaseDenoiser
from scoresde.samplers.driver import sample
from scoresde.samplers.interface import Samples
from scoresde.samplers.probability_flow import ProbabilityFlow, encode


def translate(
    denoiser: BaseDenoiser,
    x: Array,
    source: Condition,
    target: Condition,
    *,
    rtol: float = 1e-5,
    atol: float = 1e-5,
    method: str = "dopri5",
) -> Samples:
    """x as its latent is decoded under another condition, such as another class.

    The latent of the probability flow (arXiv:2011.13456, section 4.3) is what the conditions share:
    x of one class goes to what is at the same place within the other. It is deterministic, and
    with two conditions that are equal gives x, up to the solver's error.

    Args:
        denoiser: told the condition; as guidance too.
        x: [batch, ...], in the range of the data.
        source: what x is, arrays [batch, ...] by name.
        target: what it is to become.
        rtol: relative tolerance of the probability flow, both ways.
        atol: absolute tolerance.
        method: a name of `scoresde.ode.METHODS`.

    Returns:
        Samples; nfe are of both ways. A sample that the solver could not finish is NaN.

    Raises:
        UsageError: a condition that the denoiser refuses, or a network trained at discrete times.
    """
    options = {"rtol": rtol, "atol": atol, "method": method}
    latent, stats = encode(denoiser, x, condition=source, **options)
    drawn = sample(
        jax.random.key(0),  # the flow is deterministic
        ProbabilityFlow(denoise="none", **options),
        denoiser,
        x_init=latent,
        condition=target,
    )
    return drawn._replace(nfe=drawn.nfe + stats.nfe)
