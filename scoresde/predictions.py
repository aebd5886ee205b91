"""What a network is fed and how its output is read.

Whatever a network predicts (noise, data, score, v, velocity, EDM's F), its target is a fixed linear
function of the data x_0 and the noise, and so, given x_t = alpha x_0 + sigma noise, both x_0 and
the noise are linear in (x_t, output):

    x_0   = a x_t + b output,        noise = c x_t + d output.

A prediction is these coefficients. Each is written in the form that is stable by itself: reading
the noise through x_0 (or the other way round) would lose all digits of one of them at an end of
the process. From the same algebra, an error of the output is an error of the noise times d, and of
the data times b, which is all that the losses need to know.

A network may also say how much noise a reverse step has, pixel by pixel (Nichol and Dhariwal 2021,
arXiv:2102.09672): with two outputs a channel, the first half of its channels is read as above, and
the second half places the variance between its two bounds (`scoresde.variances`).
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array

from scoresde.registry import UsageError, component, make
from scoresde.sdes import SDE, expand
from scoresde.time_inputs import TIME_INPUTS, LogSigma, ScaledTime, Sigma
from scoresde.time_inputs import Index as Index


class Prediction(NamedTuple):
    """The two expectations given x_t that everything else follows from. Each [batch, ...].

    They belong together, x_t = alpha x0 + sigma noise, and samplers read the one or the other: what
    changes one of them changes both, by `with_x0` or `with_noise`.

    Attributes:
        x0: E[x_0 | x_t], the denoised image.
        noise: E[noise | x_t];  score = -noise / sigma.
        variance: where the log variance of a reverse step lies, pixel by pixel, between that of the
            posterior (0) and that of the forward step (1); None where nothing is known of it.
    """

    x0: Array
    noise: Array
    variance: Array | None = None


def with_x0(prediction: Prediction, sde: SDE, t: Array, x0: Array) -> Prediction:
    """The prediction at time t with another x0 [batch, ...], and the noise that goes with it."""
    ratio = expand(sde.alpha(t) / sde.sigma(t), x0)
    return prediction._replace(x0=x0, noise=prediction.noise - ratio * (x0 - prediction.x0))


def with_noise(prediction: Prediction, sde: SDE, t: Array, noise: Array) -> Prediction:
    """The prediction at time t with another noise [batch, ...], and the x0 that goes with it.

    A gradient added to the score is a noise less sigma times as much.
    """
    ratio = expand(sde.sigma(t) / sde.alpha(t), noise)
    return prediction._replace(noise=noise, x0=prediction.x0 - ratio * (noise - prediction.noise))


class Coefficients(NamedTuple):
    """x0 = x0_x x + x0_output output;  noise = noise_x x + noise_output output. Each like t."""

    x0_x: Array
    x0_output: Array
    noise_x: Array
    noise_output: Array


@dataclasses.dataclass(frozen=True, kw_only=True)
class PredictionKind:
    """A way to read a network: see the module's docstring.

    Attributes:
        time_input: (sde, t) -> noise condition; one of TIME_INPUTS, also by its name or as a
            section, or any hashable function. If nothing is said it is 999 t, for networks with
            the embeddings of score_sde: a function of one's own with waves sin(k t) is to be given
            ScaledTime(scale=1.0), or the waves are 999 times as fast, and so is what an adaptive
            solver has to follow.
        learned_variance: whether the network also predicts a variance, with two outputs a channel.
    """

    time_input: Callable[[SDE, Array], Array] = dataclasses.field(default=ScaledTime())
    learned_variance: bool = False

    def __post_init__(self):
        time_input = component("time input", TIME_INPUTS, self.time_input, Callable)
        object.__setattr__(self, "time_input", time_input)

    @property
    def trained_levels(self) -> int | None:
        """The noise levels that the network knows, as its time input says; None for any time."""
        return getattr(self.time_input, "trained_levels", None)

    @property
    def outputs_per_channel(self) -> int:
        """How many output channels of the network are read for each channel of x."""
        return 2 if self.learned_variance else 1

    def coefficients(self, sde: SDE, t: Array) -> Coefficients:
        """The four coefficients at the times `t`."""
        raise TypeError(f"{type(self).__name__} must define coefficients(sde, t).")

    def target(self, sde: SDE, x0: Array, noise: Array, t: Array) -> Array:
        """What a perfect network would output for this x_0 and noise, [batch, ...]."""
        raise TypeError(f"{type(self).__name__} must define target(sde, x0, noise, t).")

    def input_scale(self, sde: SDE, t: Array) -> Array | float:
        """The factor on x_t before the network sees it (EDM's c_in)."""
        return 1.0

    def inputs(self, sde: SDE, x: Array, t: Array) -> tuple[Array, Array]:
        """What the network is fed for x [batch, ...] at t [batch]: (input, noise condition)."""
        return expand(jnp.asarray(self.input_scale(sde, t)), x) * x, self.time_input(sde, t)

    def split(self, x: Array, output: Array) -> tuple[Array, Array | None]:
        """The network's output for x in two: what `target` is of, and what is of the variance.

        Args:
            x: [batch, ..., channels].
            output: [batch, ..., outputs_per_channel * channels]: first all of the mean.

        Returns:
            The part of the mean, of the shape of x, and that of the variance, likewise or None.

        Raises:
            UsageError: the network has not as many outputs as are read.
        """
        expected = *x.shape[:-1], self.outputs_per_channel * x.shape[-1]
        if output.shape != expected:
            raise UsageError(
                f"The network's output for x of shape {x.shape} must have shape {expected}, for "
                f"{type(self).__name__}(learned_variance={self.learned_variance}) reads "
                f"{self.outputs_per_channel} a channel, and has {output.shape}: give the network "
                f"outputs_per_channel={self.outputs_per_channel}, or set learned_variance."
            )
        return tuple(jnp.split(output, 2, axis=-1)) if self.learned_variance else (output, None)

    def read(self, sde: SDE, x: Array, t: Array, output: Array) -> Prediction:
        """Turns the network's output for x [batch, ..., channels] at t into a Prediction.

        An output v for the variance is read as (v + 1) / 2, unclipped, as in the paper's code: one
        outside of [-1, 1] leaves the bounds.

        Args: as of `inputs` and `split`.
        """
        mean, variance = self.split(x, output)
        x0_x, x0_out, noise_x, noise_out = (expand(c, x) for c in self.coefficients(sde, t))
        return Prediction(
            x0=x0_x * x + x0_out * mean,
            noise=noise_x * x + noise_out * mean,
            variance=None if variance is None else 0.5 * (variance + 1),
        )


class Noise(PredictionKind):
    """The network predicts the noise (DDPM, arXiv:2006.11239; score_sde's VP and sub-VP nets)."""

    def coefficients(self, sde, t):
        alpha, sigma = sde.alpha(t), sde.sigma(t)
        one = jnp.ones_like(sigma)
        return Coefficients(one / alpha, -sigma / alpha, 0 * one, one)

    def target(self, sde, x0, noise, t):
        return noise


class X0(PredictionKind):
    """The network predicts the data."""

    def coefficients(self, sde, t):
        alpha, sigma = sde.alpha(t), sde.sigma(t)
        one = jnp.ones_like(sigma)
        return Coefficients(0 * one, one, one / sigma, -alpha / sigma)

    def target(self, sde, x0, noise, t):
        return x0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Score(PredictionKind):
    """The network predicts the score, -noise / sigma (score_sde's VE nets)."""

    time_input: Callable[[SDE, Array], Array] = dataclasses.field(default=Sigma())

    def coefficients(self, sde, t):
        alpha, sigma = sde.alpha(t), sde.sigma(t)
        one = jnp.ones_like(sigma)
        return Coefficients(one / alpha, sigma**2 / alpha, 0 * one, -sigma)

    def target(self, sde, x0, noise, t):
        return -noise / expand(sde.sigma(t), noise)


class V(PredictionKind):
    """v = alpha noise - sigma x0 (Salimans and Ho 2022, arXiv:2202.00512, appendix D)."""

    def coefficients(self, sde, t):
        alpha, sigma = sde.alpha(t), sde.sigma(t)
        norm = alpha**2 + sigma**2  # 1 for variance-preserving processes
        return Coefficients(alpha / norm, -sigma / norm, sigma / norm, alpha / norm)

    def target(self, sde, x0, noise, t):
        return expand(sde.alpha(t), x0) * noise - expand(sde.sigma(t), x0) * x0


class Velocity(PredictionKind):
    """The probability flow's dx/dt = alpha' x0 + sigma' noise (flow matching, arXiv:2210.02747)."""

    def coefficients(self, sde, t):
        alpha, sigma = sde.alpha(t), sde.sigma(t)
        alpha_dot, sigma_dot = sde.alpha_dot(t), sde.sigma_dot(t)
        determinant = alpha * sigma_dot - sigma * alpha_dot
        return Coefficients(
            sigma_dot / determinant,
            -sigma / determinant,
            -alpha_dot / determinant,
            alpha / determinant,
        )

    def target(self, sde, x0, noise, t):
        return expand(sde.alpha_dot(t), x0) * x0 + expand(sde.sigma_dot(t), x0) * noise


@dataclasses.dataclass(frozen=True, kw_only=True)
class EDM(PredictionKind):
    """EDM's preconditioned F (Karras et al. 2022, arXiv:2206.00364, equation 7 and table 1).

    D(x) = c_skip x + c_out F(c_in x; c_noise) at the noise level sigma / alpha of x_t / alpha,
    multiplied out so that it holds, and is regular, at alpha = 0 too.

    Attributes:
        sigma_data: the standard deviation of the data, in the data's own units.
    """

    sigma_data: float = 0.5
    time_input: Callable[[SDE, Array], Array] = dataclasses.field(default=LogSigma())

    def _norm(self, sde, t):
        return sde.sigma(t) ** 2 + (sde.alpha(t) * self.sigma_data) ** 2

    def input_scale(self, sde, t):
        return 1 / jnp.sqrt(self._norm(sde, t))

    def coefficients(self, sde, t):
        alpha, sigma, norm = sde.alpha(t), sde.sigma(t), self._norm(sde, t)
        return Coefficients(
            alpha * self.sigma_data**2 / norm,
            sigma * self.sigma_data / jnp.sqrt(norm),
            sigma / norm,
            -alpha * self.sigma_data / jnp.sqrt(norm),
        )

    def target(self, sde, x0, noise, t):
        alpha, sigma = expand(sde.alpha(t), x0), expand(sde.sigma(t), x0)
        scale = self.sigma_data * expand(jnp.sqrt(self._norm(sde, t)), x0)
        return (sigma * x0 - alpha * self.sigma_data**2 * noise) / scale


PREDICTIONS = {
    "noise": Noise,
    "x0": X0,
    "score": Score,
    "v": V,
    "velocity": Velocity,
    "edm": EDM,
}


def get(name: str, *, time_input: Any = None, **options) -> PredictionKind:
    """A prediction by name; `time_input` as of `PredictionKind`, the prediction's own if None.

    Raises:
        UsageError: unknown name or option.
    """
    if time_input is not None:
        options["time_input"] = time_input
    return make("prediction", PREDICTIONS, name, **options)
