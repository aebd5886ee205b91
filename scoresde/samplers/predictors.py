"""Predictors: one step of the reverse-time SDE, from t to s < t.

With the forward transition from s to t,  x_t = a x_s + b z,  each is a line or two, on any grid and
for any process. On the discrete tables of DDPM and SMLD they are the published update rules.
"""

import dataclasses

import jax.numpy as jnp
from jax import Array

from scoresde.denoiser import BaseDenoiser
from scoresde.keys import normal
from scoresde.registry import UsageError, component
from scoresde.samplers.grid_sampler import GridSampler
from scoresde.sdes import SDE
from scoresde.variances import VARIANCES, Variance


def transition(sde: SDE, s: Array | None, t: Array) -> tuple[Array, Array]:
    """(a, b^2) of the forward step from s to t; `s` None is the clean data."""
    return (sde.alpha(t), sde.sigma(t) ** 2) if s is None else sde.transition(s, t)


class Predictor(GridSampler):
    """A sampler whose steps are draws from a Gaussian; a subclass defines its `moments`."""

    def moments(
        self, x: Array, t: Array, s: Array | None, denoiser: BaseDenoiser
    ) -> tuple[Array, Array | None]:
        """Mean [batch, ...] and standard deviation of x_s, given x at t; None for no noise at all.

        `s` is None for a step to the clean data, of which only the mean is used.
        """
        raise TypeError(f"{type(self).__name__} must define moments.")

    def step(self, keys, x, t, s, denoiser, carry):
        mean, std = self.moments(x, t, s, denoiser)
        return (mean if std is None else mean + std * normal(keys, x.shape, x.dtype)), carry

    @property
    def last_predictor(self):
        return self


@dataclasses.dataclass(frozen=True, kw_only=True)
class EulerMaruyama(Predictor):
    """The Euler-Maruyama step of the reverse SDE (arXiv:2011.13456, equation 6 and appendix D).

    x_s = x - (f x - g^2 score) dt + g sqrt(dt) z,   dt = t - s.

    Attributes:
        probability_flow: the Euler step of the probability flow instead: half the score, no noise.
    """

    probability_flow: bool = False

    def moments(self, x, t, s, denoiser):
        dt = t if s is None else t - s
        sde = denoiser.sde
        drift = sde.drift_rate(t) * x
        diffusion_squared = sde.diffusion_squared(t)
        score = denoiser.score(x, t)
        if self.probability_flow:
            return x - (drift - 0.5 * diffusion_squared * score) * dt, None
        return x - (drift - diffusion_squared * score) * dt, jnp.sqrt(diffusion_squared * dt)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReverseDiffusion(Predictor):
    """Reverse diffusion: the reverse SDE discretized as the forward one is (equation 46).

    x_s = (2 - a) x + b^2 score + b z.

    Attributes:
        probability_flow: half the score, no noise (equation 47 and appendix D.3).
    """

    probability_flow: bool = False

    def moments(self, x, t, s, denoiser):
        a, b_squared = transition(denoiser.sde, s, t)
        score = denoiser.score(x, t)
        if self.probability_flow:
            return (2 - a) * x + 0.5 * b_squared * score, None
        return (2 - a) * x + b_squared * score, jnp.sqrt(b_squared)


@dataclasses.dataclass(frozen=True, kw_only=True)
class AncestralSampling(Predictor):
    """Ancestral sampling: a draw from p(x_s | x_t, x_0) at the predicted x_0 (equations 4 and 47).

    The mean (x + b^2 score) / a is written alpha_s x_0 + a sigma_s^2 / sigma_t noise, the same
    thing, which stays finite where a = 0.

    Attributes:
        variance: of the noise added, one of `scoresde.variances.VARIANCES`, by its name or as it
            is: "posterior" is SMLD's rule, "forward" DDPM's, sqrt(beta) z, "learned" that of the
            improved DDPM.
        guided: where a classifier's gradient goes, of a denoiser that is `ClassifierGuidance`:
            "score", as of any guidance; or "mean", which it moves by the variance of the step times
            as much, while x0 is that of the model (Dhariwal and Nichol 2021, arXiv:2105.05233,
            Algorithm 1). The step to the clean data, whose variance is none, is then the model's.
        probability_flow: must be False: there is no such form of ancestral sampling.
    """

    variance: str | Variance = "posterior"
    guided: str = "score"
    probability_flow: bool = False

    def __post_init__(self):
        super().__post_init__()
        variance = component("variance", VARIANCES, self.variance, Variance)
        object.__setattr__(self, "variance", variance)
        if self.guided not in ("score", "mean"):
            raise UsageError(
                f"Ancestral sampling is guided by 'score' or 'mean', not {self.guided!r}."
            )
        if self.probability_flow:
            raise UsageError(
                "Ancestral sampling has no probability-flow form; use ddim, which is its "
                "deterministic relative, or another predictor."
            )

    def moments(self, x, t, s, denoiser):
        sde, apart = denoiser.sde, self.guided == "mean"
        prediction, pull = denoiser.apart(x, t) if apart else (denoiser(x, t), None)
        if s is None:
            return prediction.x0, None
        a, _ = sde.transition(s, t)
        sigma_s, sigma_t = sde.sigma(s), sde.sigma(t)
        mean = sde.alpha(s) * prediction.x0 + a * sigma_s**2 / sigma_t * prediction.noise
        variance = self.variance.of_step(sde, t, s, prediction)
        return mean if pull is None else mean + variance * pull, jnp.sqrt(variance)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DDIM(Predictor):
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

    def moments(self, x, t, s, denoiser):
        sde = denoiser.sde
        prediction = denoiser(x, t)
        if s is None:
            return prediction.x0, None
        a, b_squared = sde.transition(s, t)
        sigma_s, sigma_t = sde.sigma(s), sde.sigma(t)
        # sigma_s^2 - v^2 with b^2 = sigma_t^2 - a^2 sigma_s^2 put in, where nothing cancels.
        kept = sigma_s * jnp.sqrt(1 - self.eta**2 + (self.eta * a * sigma_s / sigma_t) ** 2)
        mean = sde.alpha(s) * prediction.x0 + kept * prediction.noise
        return mean, (self.eta * sigma_s * jnp.sqrt(b_squared) / sigma_t if self.eta else None)


PREDICTORS = {
    "euler_maruyama": EulerMaruyama,
    "reverse_diffusion": ReverseDiffusion,
    "ancestral_sampling": AncestralSampling,
    "ddim": DDIM,
}
