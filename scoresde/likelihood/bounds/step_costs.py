"""What a step of a reverse chain costs in its bound, from the prediction where it starts.

A chain of N levels has N terms (Ho et al. 2020, arXiv:2006.11239, equation 5): of level i > 0 the
KL divergence of the step to level i - 1, of level 0 the decoder's.
"""

from collections.abc import Callable

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from scoresde.likelihood.bounds.decoders import nearest_levels
from scoresde.likelihood.bounds.terms import squared_errors
from scoresde.predictions import Prediction
from scoresde.sdes import SDE, expand
from scoresde.variances import Variance


def mean_cost(
    sde: SDE,
    variance: Variance,
    t: ArrayLike,
    s: ArrayLike,
    prediction: Prediction,
    x0: Array,
    noise: Array,
) -> Array:
    """What the means cost in KL(q(x_s | x_t, x_0) || p(x_s | x_t)): nats pixel by pixel, like x0.

    They differ by (predicted x0 - x0) alpha_s b^2 / sigma_t^2.

    Args:
        sde: the forward process.
        variance: of p(x_s | x_t).
        t: where the step starts, a scalar or [batch].
        s: where it ends, likewise.
        prediction: at x_t = alpha_t x0 + sigma_t noise.
        x0: the data, [batch, ...].
        noise: of x_t, like x0.
    """
    _, b_squared = sde.transition(s, t)
    slope = expand(sde.alpha(s) * b_squared / sde.sigma(t) ** 2, x0)
    _, error = squared_errors(sde, prediction, x0, noise, t)
    return slope**2 * error / (2 * expand(variance.of_step(sde, t, s, prediction), x0))


def variance_cost(
    sde: SDE, variance: Variance, t: ArrayLike, s: ArrayLike, prediction: Prediction | None
) -> Array:
    """What the variances cost, (r - 1 - log r) / 2 with r the posterior's over that of p.

    Args: as of `mean_cost`, all of the KL but for this. Of the shape of the variance.
    """
    log_r = -variance.log_over_posterior(sde, t, s, prediction)
    return 0.5 * (jnp.expm1(log_r) - log_r)


def chain_cost(
    sde: SDE,
    variance: Variance,
    decoder_cost: Callable[..., Array],
    levels: Array,
    number: Array,
    prediction: Prediction,
    x0: Array,
    noise: Array,
    bins: int,
    level_range: tuple[float, float],
) -> Array:
    """The term of one level of a chain for each sample, in nats, [batch].

    Args:
        sde: the forward process.
        variance: of the steps, and of the decoder.
        decoder_cost: of `GAUSSIAN_DECODERS`.
        levels: the chain's times, ascending, [N].
        number: the level that each sample is at, [batch].
        prediction: at x_t = alpha_t x0 + sigma_t noise, t the time of that level.
        x0: the data, values of levels, [batch, ...].
        noise: of x_t, like x0.
        bins: the number of gray levels.
        level_range: the values of the first and the last of them.
    """
    step = jnp.maximum(number, 1)  # no step starts at level 0: a number to be left out
    t, s = levels[step], levels[step - 1]
    cost = mean_cost(sde, variance, t, s, prediction, x0, noise)
    cost += expand(variance_cost(sde, variance, t, s, prediction), x0)
    of_step = jnp.sum(jnp.reshape(cost, (len(x0), -1)), axis=1)
    std = jnp.sqrt(variance.of_decoder(sde, levels[0], levels[1], prediction))
    images, last = nearest_levels(x0, bins, level_range), number == 0
    # The mean at other levels may be anywhere, where a decoder has no finite gradient.
    mean = jnp.where(expand(last, x0), prediction.x0, x0)
    of_decoder = decoder_cost(images, mean, std, bins, level_range)
    return jnp.where(last, of_decoder, of_step)
