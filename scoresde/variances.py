"""The variance of a step of the reverse chain, p(x_s | x_t) = N(posterior mean, variance).

From s to t the forward process multiplies by a and adds noise of variance b^2 (`SDE.transition`);
q(x_s | x_t, x_0) has variance b^2 sigma_s^2 / sigma_t^2. In DDPM's words they are beta and beta
tilde, the optimal choices for data that are N(0, 1) and for data that are a single point, and every
choice here lies between the two in the logarithm, at a fraction k of the way:

    log variance = k log b^2 + (1 - k) log(b^2 sigma_s^2 / sigma_t^2)

    posterior   k = 0            beta tilde, "fixed small"; SMLD's and the default
    forward     k = 1            beta, "fixed large"
    learned     k of the network, pixel by pixel (Nichol and Dhariwal 2021, arXiv:2102.09672,
                equation 15)

A chain of steps ends at t_min > 0, from where the decoder p(x | x_tmin) goes on to the clean data.
There the posterior is a point; like the published code, the decoder takes the posterior variance of
the step before it in its place, and where it is fixed, whichever one the steps have.
"""

import dataclasses
from typing import ClassVar

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from scoresde.predictions import Prediction
from scoresde.registry import UsageError, make
from scoresde.sdes import SDE, expand


@dataclasses.dataclass(frozen=True, kw_only=True)
class Variance:
    """A variance; a subclass says the fraction. See the module.

    All methods return a number where it is fixed and the times are, [batch] where the times are, or
    else an array like x: `expand` it against x.

    Attributes:
        fixed: whether it is known without a prediction.
    """

    fixed: ClassVar[bool] = True

    def fraction(self, prediction: Prediction | None) -> Array | int:
        """k above: a number where it is `fixed`, of any prediction; else like x."""
        raise TypeError(f"{type(self).__name__} must define fraction(prediction).")

    def of_step(self, sde: SDE, t: ArrayLike, s: ArrayLike, prediction: Prediction) -> Array:
        """The variance of p(x_s | x_t).

        Args:
            sde: the forward process.
            t: where the step starts, a scalar or [batch].
            s: where it ends, s < t, likewise.
            prediction: at x_t.

        Raises:
            UsageError: the prediction lacks what the fraction takes.
        """
        k = self.fraction(prediction)
        ratio = expand(sde.sigma(s) / sde.sigma(t), k)
        return expand(sde.transition(s, t)[1], k) * ratio ** (2 * (1 - k))

    def log_over_posterior(
        self, sde: SDE, t: ArrayLike, s: ArrayLike, prediction: Prediction | None
    ) -> Array:
        """log(variance of p(x_s | x_t) / variance of q(x_s | x_t, x_0)), which loses no digits.

        Args: as of `of_step`; no prediction is needed where the variance is fixed.
        """
        k = self.fraction(prediction)
        return k * expand(2 * (jnp.log(sde.sigma(t)) - jnp.log(sde.sigma(s))), k)

    def of_decoder(
        self, sde: SDE, t: ArrayLike, before: ArrayLike, prediction: Prediction
    ) -> Array:
        """The variance of p(x | x_t), the last step, from t to the clean data.

        Args: as of `of_step`; `before` is where the step to t started.
        """
        k = self.fraction(prediction)
        posterior = expand(jnp.log(Posterior().of_step(sde, before, t, prediction)), k)
        forward = expand(2 * jnp.log(sde.sigma(t)), k)
        return jnp.exp((1 - k) * posterior + k * forward)  # finite far outside of the bounds, too


@dataclasses.dataclass(frozen=True, kw_only=True)
class Posterior(Variance):
    """That of q(x_s | x_t, x_0)."""

    def fraction(self, prediction):
        return 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Forward(Variance):
    """That of the forward step.

    Not in the decoder: DDPM's code takes the posterior variance of the step before it, whatever the
    steps have, "to get a better decoder log likelihood".
    """

    def fraction(self, prediction):
        return 1

    def of_decoder(self, sde, t, before, prediction):
        return Posterior().of_decoder(sde, t, before, prediction)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Learned(Variance):
    """That which the network predicts; see `scoresde.predictions.Prediction.variance`."""

    fixed: ClassVar[bool] = False

    def fraction(self, prediction):
        if prediction.variance is None:
            raise UsageError(
                "The variance 'learned' needs a network that predicts one (a prediction with "
                "learned_variance=True); take 'posterior' or 'forward' with this denoiser."
            )
        return prediction.variance


VARIANCES = {"posterior": Posterior, "forward": Forward, "learned": Learned}


def get(variance: str | Variance) -> Variance:
    """The variance of that name; one that is no name is returned as it is.

    Raises:
        UsageError: unknown name.
    """
    return make("variance", VARIANCES, variance) if isinstance(variance, str) else variance
