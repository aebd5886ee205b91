"""The bound on the density of the score SDE (Song et al. 2021, arXiv:2101.09258, theorem 3)."""

import dataclasses
import functools
import math
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array

from scoresde.condition import Condition
from scoresde.denoiser import BaseDenoiser, predict
from scoresde.likelihood.bounds.continuous import ContinuousBound
from scoresde.likelihood.bounds.decoders import density_decoder_cost
from scoresde.likelihood.bounds.result import Bound, make_bound
from scoresde.likelihood.bounds.terms import noise_error, prior_cost, sum_squares
from scoresde.likelihood.checks import check_choice, check_counts, check_values
from scoresde.likelihood.standard_errors import nan_if_unknown
from scoresde.meshes import automatic

FORMS = ("dsm", "ssm")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScoreFlowBound(ContinuousBound):
    """A lower bound on the log density of the score SDE, log p(x), per sample.

    The theorem, on [t_min, t_max], bounds the density p_tmin that the reverse SDE reaches at t_min:
    with the forward process q from x,

        E_q[log p_tmin(x_tmin)] >= E_q[log prior(x_tmax)]
            - 1/2 int E_q[g^2 ||s - grad log q||^2 - g^2 ||grad log q||^2 - 2 div f] dt.

    Here s = -predicted noise / sigma, grad log q = -noise / sigma and div f = d f(t), and since
    g^2 / sigma^2 = -d log_snr / dt  all but the first term of the integral can be taken exactly.
    The factors alpha at the ends cancel, and the right side is

        -KL(q(x_tmax | x) || prior) - 1/2 int g^2/sigma^2 E||predicted noise - noise||^2 dt
            - d/2 log(2 pi e sigma(t_min)^2).

    That is the bound for `offset=False`. It concerns x blurred as the process is at t_min; it does
    not bound log p_tmin at x itself. `offset=True` goes on to the density of x: with the decoder
    p(x | x_tmin) = N(E[x_0 | x_tmin], (sigma / alpha)^2 I) around Tweedie's mean (the paper's
    appendix),

        log p(x) >= E_q[log p(x | x_tmin) - log q(x_tmin | x) + log p_tmin(x_tmin)],

    where the second term cancels the entropy above and the first is
    -d/2 log(2 pi sigma^2 / alpha^2) - 1/2 E||predicted noise - noise||^2 at t_min.

    Attributes:
        form: "dsm" compares the prediction with the noise; "ssm" takes its divergence instead, by
            Hutchinson's estimator. Both have the same expectation.
        probes: Rademacher probes a time, for "ssm".
        offset: whether to bound the density of x, not the mean of log p_tmin over blurred x.

    Further attributes: of `ContinuousBound`.

    Raises:
        UsageError: as of `ContinuousBound`; an unknown form.
    """

    of_levels: ClassVar[bool] = False

    form: str = "dsm"
    probes: int = 1
    offset: bool = True

    def __post_init__(self):
        super().__post_init__()
        check_choice("form of the bound", self.form, FORMS)
        check_counts(probes=self.probes)

    def __call__(
        self, key: Array, denoiser: BaseDenoiser, x: Array, condition: Condition = None
    ) -> Bound:
        """The bound of each sample.

        Args:
            key: one key, from which sample i gets `fold_in(key, i)`, or [batch] keys, one a sample.
            denoiser: a Denoiser or an analytic one; the prior is its process's.
            x: real data, [batch, ...], in the range that the denoiser works in.
            condition: what is known of each sample, by name: arrays [batch, ...].

        Raises:
            UsageError: t_min outside the process or without noise, x that is empty or not real, a
                condition of other samples, a network that knows discrete levels only, or times that
                cannot be importance-sampled because nothing of the data is left at t_max (rectified
                flow: give it a t_max < 1).
        """
        key, denoiser, x, condition = automatic((key, denoiser, x, condition))
        x = check_values(x)
        keys, condition, t_min = self.prepare(key, denoiser, len(x), condition)
        return nan_if_unknown(_score_flow(self, keys, denoiser, x, condition, t_min))


@functools.partial(jax.jit, static_argnames=("bound", "t_min"))
def _score_flow(bound, keys, denoiser, x, condition, t_min):
    denoiser = denoiser.given(condition)
    sde, dims = denoiser.sde, math.prod(x.shape[1:])
    measure = _steadied if bound.form == "dsm" else functools.partial(_sliced, probes=bound.probes)
    diffusion, error_at_t_min = bound.diffusion(keys, denoiser, x, measure, t_min)
    if bound.offset:
        reconstruction = density_decoder_cost(sde, t_min, error_at_t_min, dims)
    else:  # the entropy of q(x_tmin | x)
        entropy = 0.5 * dims * (jnp.log(2 * jnp.pi) + 1 + 2 * jnp.log(sde.sigma(t_min)))
        reconstruction = jnp.broadcast_to(entropy, diffusion.shape)
    return make_bound(prior_cost(sde, x), diffusion, reconstruction, bound.nfe)


def _steadied(keys, denoiser, x0, noise, t):
    """The error of the noise, less a multiple of ||noise||^2 - d, whose mean is zero.

    Of data with a density, a prediction at small t misses the noise altogether, and the error is
    about ||noise||^2; at large t it misses none. The multiple alpha^4 / (alpha^2 + sigma^2)^2,
    which goes from one to zero between, is what data N(0, I) would ask for. (Of data on a grid,
    the noise is told from the data at small t too, and this would only add to the variance.)
    """
    surplus = sum_squares(noise) - math.prod(noise.shape[1:])
    error = noise_error(denoiser, x0, noise, t)
    return error - jax.nn.sigmoid(denoiser.sde.log_snr(t)) ** 2 * surplus


def _sliced(keys, denoiser, x0, noise, t, *, probes):
    """The same expectation without the noise, as in (sliced) score matching.

    By Stein's identity E[noise . predicted] = sigma E[div predicted], hence
    E||predicted - noise||^2 = E[||predicted||^2 - 2 sigma div predicted] + d.
    """
    x = denoiser.sde.perturb(x0, noise, t)
    predicted, jacobian_product = jax.linearize(lambda x: predict(denoiser, x, t).noise, x)

    def draw(key):
        return jax.random.rademacher(key, (probes, *x.shape[1:]), x.dtype)

    vectors = jax.vmap(draw, out_axes=1)(keys)  # [probes, batch, ...]
    products = vectors * jax.vmap(jacobian_product)(vectors)
    divergence = jnp.sum(jnp.reshape(products, (*products.shape[:2], -1)), axis=2).mean(axis=0)
    dims = math.prod(x.shape[1:])
    return sum_squares(predicted) - 2 * denoiser.sde.sigma(t) * divergence + dims
