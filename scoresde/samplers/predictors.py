"""Predictors: one step of the reverse-time SDE, from t to s < t.

With the forward transition from s to t,  x_t = a x_s + b z,  each is a line or two, on any grid and
for any process. On the discrete tables of DDPM and SMLD they are the published update rules.
"""

import dataclasses

import jax.numpy as jnp

from scoresde import variances
from scoresde.keys import normal
from scoresde.registry import UsageError
from scoresde.samplers.driver import GridSampler


def transition(sde, s, t):
    """(a, b^2) of the forward step from s to t; `s` None is the clean data."""
    return (sde.alpha(t), sde.sigma(t) ** 2) if s is None else sde.transition(s, t)


@dataclasses.dataclass(frozen=True, kw_only=True)
class EulerMaruyama(GridSampler):
    """The Euler-Maruyama step of the reverse SDE (arXiv:2011.13456, equation 6 and appendix D).

    x_s = x - (f x - g^2 score) dt + g sqrt(dt) z,   dt = t - s.

    Attributes:
        probability_flow: the Euler step of the probability flow instead: half the score, no noise.
    """

    probability_flow: bool = False

    def step(self, keys, x, t, s, denoiser, carry):
        dt = t if s is None else t - s
        sde = denoiser.sde
        drift = sde.drift_rate(t) * x
        diffusion_squared = sde.diffusion_squared(t)
        score = denoiser.score(x, t)
        if self.probability_flow:
            mean = x - (drift - 0.5 * diffusion_squared * score) * dt
            return mean, mean, carry
        mean = x - (drift - diffusion_squared * score) * dt
        return mean + jnp.sqrt(diffusion_squared * dt) * normal(keys, x.shape, x.dtype), mean, carry


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReverseDiffusion(GridSampler):
    """Reverse diffusion: the reverse SDE discretised as the forward one is (equation 46).

    x_s = (2 - a) x + b^2 score + b z.

    Attributes:
        probability_flow: half the score, no noise (equation 47 and appendix D.3).
    """

    probability_flow: bool = False

    def step(self, keys, x, t, s, denoiser, carry):
        a, b_squared = transition(denoiser.sde, s, t)
        score = denoiser.score(x, t)
        if self.probability_flow:
            mean = (2 - a) * x + 0.5 * b_squared * score
            return mean, mean, carry
        mean = (2 - a) * x + b_squared * score
        return mean + jnp.sqrt(b_squared) * normal(keys, x.shape, x.dtype), mean, carry


@dataclasses.dataclass(frozen=True, kw_only=True)
class AncestralSampling(GridSampler):
    """Ancestral sampling: a draw from p(x_s | x_t, x_0) at the predicted x_0 (equations 4 and 47).

    The mean (x + b^2 score) / a is written alpha_s x_0 + a sigma_s^2 / sigma_t noise, the same
    thing, which stays finite where a = 0.

    Attributes:
        variance: of the noise added, one of `scoresde.variances.VARIANCES` or its name: "posterior"
            is SMLD's rule, "forward" DDPM's, sqrt(beta) z.
        probability_flow: must be False: there is no such form of ancestral sampling.
    """

    variance: str | variances.Variance = "posterior"
    probability_flow: bool = False

    def __post_init__(self):
        super().__post_init__()
        variances.get(self.variance)
        if self.probability_flow:
            raise UsageError(
                "Ancestral sampling has no probability-flow form; use ddim, which is its "
                "deterministic relative, or another predictor."
            )

    def step(self, keys, x, t, s, denoiser, carry):
        sde = denoiser.sde
        prediction = denoiser(x, t)
        if s is None:
            return prediction.x0, prediction.x0, carry
        a, _ = sde.transition(s, t)
        sigma_s, sigma_t = sde.sigma(s), sde.sigma(t)
        mean = sde.alpha(s) * prediction.x0 + a * sigma_s**2 / sigma_t * prediction.noise
        variance = variances.get(self.variance).of_step(sde, t, s, prediction)
        return mean + jnp.sqrt(variance) * normal(keys, x.shape, x.dtype), mean, carry


@dataclasses.dataclass(frozen=True, kw_only=True)
class DDIM(GridSampler):
    """DDIM (Song et al. 2020, arXiv:2010.02502, equations 12 and 16), first order for eta = 0.

    x_s = alpha_s x_0 + sqrt(sigma_s^2 - v^2) noise + v z,   v = eta sigma_s b / sigma_t.

    Attributes:
        eta: 0 is deterministic, the exponential Euler step of the probability flow; 1 is ancestral
            sampling with the posterior variance; in [0, 1].
    """

    eta: float = 0.0

    def __post_init__(self):
        super().__post_init__()
        if not 0 <= self.eta <= 1:
            raise UsageError(f"DDIM needs eta between 0 and 1, got {self.eta}.")

    def step(self, keys, x, t, s, denoiser, carry):
        sde = denoiser.sde
        prediction = denoiser(x, t)
        if s is None:
            return prediction.x0, prediction.x0, carry
        a, b_squared = sde.transition(s, t)
        sigma_s, sigma_t = sde.sigma(s), sde.sigma(t)
        # sigma_s^2 - v^2 with b^2 = sigma_t^2 - a^2 sigma_s^2 put in, where nothing cancels.
        kept = sigma_s * jnp.sqrt(1 - self.eta**2 + (self.eta * a * sigma_s / sigma_t) ** 2)
        mean = sde.alpha(s) * prediction.x0 + kept * prediction.noise
        if self.eta == 0:
            return mean, mean, carry
        std = self.eta * sigma_s * jnp.sqrt(b_squared) / sigma_t
        return mean + std * normal(keys, x.shape, x.dtype), mean, carry


PREDICTORS = {
    "euler_maruyama": EulerMaruyama,
    "reverse_diffusion": ReverseDiffusion,
    "ancestral_sampling": AncestralSampling,
    "ddim": DDIM,
}
