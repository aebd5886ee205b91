"""Training by the bound of a chain of steps, L_vlb, and with it the variances of the steps.

Improved DDPM (Nichol and Dhariwal 2021, arXiv:2102.09672, section 3). A chain of N levels has N
terms, of level i > 0 the KL divergence of the step to level i - 1 and of level 0 the decoder's (see
`scoresde.likelihood.bounds.step_costs`). Of one level drawn uniformly,

    L_vlb    = E[N term]                    bits/dim, less the cost of the prior, which has no
                                            parameters: the objective "vlb"
    L_hybrid = L_simple + 0.001 L_vlb       equation 16, the objective "hybrid"

In L_vlb of L_hybrid the mean has no gradient: it trains the variances, L_simple the means. L_simple
is a mean of squares, not bits: their ratio is the published one and a convention.

The levels are those of the time distribution, `times.Discrete` or another with `levels`. A process
that is no chain is trained for one of `times={"name": "discrete", "num_scales": N}`.
"""

import dataclasses
import math
from typing import Any

import jax
from jax import Array

from scoresde.likelihood.bounds.decoders import GAUSSIAN_DECODERS
from scoresde.likelihood.bounds.step_costs import chain_cost
from scoresde.losses.denoising import DenoisingScoreMatching, residual_of
from scoresde.losses.timed import TimedLoss, network_output
from scoresde.plain import check_fields
from scoresde.predictions import Prediction
from scoresde.registry import UsageError, component, member
from scoresde.times import require_noise
from scoresde.variances import VARIANCES, Variance


@dataclasses.dataclass(frozen=True, kw_only=True)
class ChainLoss(TimedLoss):
    """Bits/dim of discrete images by the bound of a chain, one of its terms a sample (L_vlb).

    Of a network with two outputs a channel this trains mean and variance; with a fixed variance,
    the mean alone. Its noise is least with `times="loss_second_moment"`.

    Attributes:
        times: a distribution of levels, see the module.
        variance: of the steps, one of `scoresde.variances.VARIANCES` or its name.
        decoder: as of `scoresde.likelihood.DDPMBound`.

    Raises:
        UsageError: times that are no levels, no noise at the first of them, data without integer
            levels or with noise in their bins, a learned variance that is not predicted; and as
            `TimedLoss`.
    """

    times: Any = "discrete"
    variance: str | Variance = "learned"
    decoder: str = "exact"

    def __post_init__(self):
        super().__post_init__()
        check_chain(self)

    def at(self, params, key, x0, noise, t, condition=None, train=True):
        model = self.sde, self.prediction, self.network, params
        x = self.sde.perturb(x0, noise, t)
        output = network_output(*model, key, x, t, condition, train)
        prediction = self.prediction.read(self.sde, x, t, output)
        return bits_of_chain(self, prediction, x0, noise, t)


@dataclasses.dataclass(frozen=True, kw_only=True)
class HybridLoss(DenoisingScoreMatching):
    """Denoising score matching for the mean, and the bound of a chain for the variance (L_hybrid).

    Attributes:
        times: as of `ChainLoss`.
        weight: of L_vlb, lambda of the paper's equation 16; the published code without its
            `rescale_learned_sigmas` has 1 / N.
        variance: as of `ChainLoss`.
        decoder: as of `ChainLoss`.

    Further attributes: of `DenoisingScoreMatching`. Errors: of `ChainLoss`, and a fixed variance.
    """

    times: Any = "discrete"
    weight: float = 0.001
    variance: str | Variance = "learned"
    decoder: str = "exact"

    def __post_init__(self):
        super().__post_init__()
        check_chain(self)
        if self.unknown_only:
            raise UsageError("unknown_only is of the objective 'denoising': a bound has no mask.")
        if self.augmentation is not None:
            raise UsageError("A bound is of the data: 'denoising' alone has an augmentation.")
        if not 0 <= self.weight < math.inf:
            raise UsageError(f"The weight of L_vlb is a number from 0 on, got {self.weight}.")
        if self.variance.fixed:
            raise UsageError(
                "The objective 'hybrid' trains a variance by its bound, and this one is fixed: "
                "take 'denoising', or 'vlb', which trains the mean by the bound."
            )

    def at(self, params, key, x0, noise, t, condition=None, train=True):
        model = self.sde, self.prediction, self.network, params
        x = self.sde.perturb(x0, noise, t)
        output = network_output(*model, key, x, t, condition, train)
        error = residual_of(self.sde, self.prediction, output, x0, noise, t)
        read = self.prediction.read(self.sde, x, t, output)
        mean = jax.lax.stop_gradient((read.x0, read.noise))
        bits = bits_of_chain(self, Prediction(*mean, read.variance), x0, noise, t)
        return self.weighted(error, t) + self.weight * bits


def check_chain(loss: ChainLoss | HybridLoss) -> None:
    """Makes the variance of its name, and raises UsageError for what a chain's bound is not of."""
    check_fields(loss)
    variance = component("variance", VARIANCES, loss.variance, Variance)
    object.__setattr__(loss, "variance", variance)
    member("decoder", GAUSSIAN_DECODERS, loss.decoder)
    if getattr(loss.times, "levels", None) is None or not hasattr(loss.times, "number"):
        raise UsageError(
            "The bound of a chain is of its steps from level to level: take the times 'discrete' "
            "or 'loss_second_moment', with num_scales for a process that is no chain."
        )
    require_noise(loss.sde, float(loss.times.levels[0]), "The decoder")
    codec = loss.codec
    if codec is None or codec.bins is None or codec.level_range is None:
        raise UsageError(
            "The bound of a chain is of the probability of images of integer levels, which these "
            "data have not in x; take the objective 'denoising'."
        )
    if getattr(codec, "dequantize", False):
        raise UsageError(
            "The bound of a chain is of levels without noise in their bins: set "
            "config.data.dequantize=False."
        )
    if not variance.fixed and not loss.prediction.learned_variance:
        raise UsageError(
            "The variance 'learned' needs a network that predicts one: set "
            "config.prediction.learned_variance=True and config.network.outputs_per_channel=2."
        )


def bits_of_chain(
    loss: ChainLoss | HybridLoss, prediction: Prediction, x0: Array, noise: Array, t: Array
) -> Array:
    """N times the term of each sample's level, in bits/dim, [batch].

    Args:
        loss: of which process, chain and decoder.
        prediction: at x_t = alpha x0 + sigma noise.
        x0: values of levels, [batch, ...].
        noise: like x0.
        t: times of levels, [batch].
    """
    levels, codec = loss.times.levels, loss.codec
    nats = chain_cost(
        loss.sde,
        loss.variance,
        GAUSSIAN_DECODERS[loss.decoder],
        levels,
        loss.times.number(t),
        prediction,
        x0,
        noise,
        codec.bins,
        codec.level_range,
    )
    return len(levels) * nats / (math.prod(x0.shape[1:]) * math.log(2))
