"""The bound of several samples (Burda et al. 2016, arXiv:1509.00519, equation 8)."""

import jax
import jax.numpy as jnp
from jax import Array


def importance_bound(log_weights: Array, axis: int = 0) -> Array:
    """log of the mean of K importance weights: logsumexp(log_weights) - log K, in nats.

    Where E[exp(log_weight)] <= p(x), Jensen's inequality makes the expectation of the result a
    lower bound on log p(x), for every K; it rises with K, and K = 1 is the ordinary bound. Here:

        dequantization   log p(k + u_i) - log q(u_i | k), with u_i ~ q, bounds log P(k);
        decoder samples  log p(x_i) + log p(x | x_i) - log q(x_i | x), with x_i ~ q(x_tmin | x).

    Do not put the values of the bounds of `scoresde.likelihood.bounds` in it, nor `log_prob`
    with Hutchinson probes: they estimate a logarithm without bias, but their exponentials, whose
    mean is taken here, are too large on average, so the result would not be a bound.

    There is no standard error: the spread of K weights says little about the ones that were not
    drawn, which are the ones that matter. Repeat the estimate for an error bar of its mean.

    Args:
        log_weights: logarithms of K independent weights along `axis`, in nats.
        axis: the axis of length K, which the result lacks.
    """
    log_weights = jnp.asarray(log_weights)
    return jax.nn.logsumexp(log_weights, axis=axis) - jnp.log(log_weights.shape[axis])
