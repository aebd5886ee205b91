"""The bound on the probability of discrete images (Kingma et al. 2021, arXiv:2107.00630)."""

import dataclasses
import functools
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from scoresde.condition import Condition
from scoresde.denoiser import BaseDenoiser
from scoresde.likelihood.bounds.continuous import ContinuousBound
from scoresde.likelihood.bounds.decoders import level_values, marginal_decoder_cost
from scoresde.likelihood.bounds.result import Bound, make_bound
from scoresde.likelihood.bounds.terms import noise_error, prior_cost
from scoresde.likelihood.checks import check_images
from scoresde.likelihood.standard_errors import nan_if_unknown


@dataclasses.dataclass(frozen=True, kw_only=True)
class VDMBound(ContinuousBound):
    """A lower bound on the log probability of discrete images, log P(images), per sample.

    The variational bound of the paper's equations 11 to 18, in infinitely many steps and for any
    process:

        prior           KL(q(x_tmax | x) || prior)
        diffusion       1/2 int -d log_snr/dt E||predicted noise - noise||^2 dt
        reconstruction  -E[log p(levels | x_tmin)], p(k | z) = q(z | k) / sum over j of q(z | j).

    Only the diffusion term needs the network and has an error; no dequantization is involved. It is
    differentiable with respect to the denoiser, learned fields of its process included.

    Attributes and errors: of `ContinuousBound`.
    """

    of_levels: ClassVar[bool] = True

    def __call__(
        self,
        key: Array,
        denoiser: BaseDenoiser,
        images: ArrayLike,
        condition: Condition = None,
        *,
        bins: int = 256,
        level_range: tuple[float, float] = (-1.0, 1.0),
    ) -> Bound:
        """The bound of each image.

        Level k stands for low + (high - low) k / (bins - 1), as in `scoresde.data.to_unit`. For a
        network trained on dequantized images, whose levels are centered at (k + 1/2) / bins, the
        ends of `level_range` are half a bin within those of the range that the network works in.

        Args:
            key: one key, from which sample i gets `fold_in(key, i)`, or [batch] keys, one a sample.
            denoiser: a Denoiser or an analytic one.
            images: integers in 0 .. bins - 1, [batch, ...].
            condition: what is known of each sample, by name: arrays [batch, ...].
            bins: number of gray levels.
            level_range: the values of the first and the last level, in the denoiser's range.

        Raises:
            UsageError: as of `ScoreFlowBound`'s call; images that are not integers in
                0 .. bins - 1.
        """
        level_range = tuple(float(end) for end in level_range)
        images = check_images(images, bins, level_range)
        keys, condition, t_min = self.prepare(key, denoiser, len(images), condition)
        bound = _vdm(self, keys, denoiser, images, condition, t_min, int(bins), level_range)
        return nan_if_unknown(bound)


@functools.partial(jax.jit, static_argnames=("bound", "t_min", "bins", "level_range"))
def _vdm(bound, keys, denoiser, images, condition, t_min, bins, level_range):
    denoiser = denoiser.given(condition)
    sde, x = denoiser.sde, level_values(images, bins, level_range)

    def measure(keys, denoiser, x0, noise, t):
        return noise_error(denoiser, x0, noise, t)

    diffusion, _ = bound.diffusion(keys, denoiser, x, measure, t_min)
    snr = jnp.exp(sde.log_snr(t_min))
    reconstruction = marginal_decoder_cost(images, snr, bins, level_range)
    reconstruction = jnp.broadcast_to(reconstruction, diffusion.shape)
    return make_bound(prior_cost(sde, x), diffusion, reconstruction, bound.nfe)
