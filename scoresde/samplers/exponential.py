"""Exponential integrators: what all samplers in log-SNR share.

With lambda = log(alpha / sigma), half the log-SNR, and h = lambda_s - lambda_t the probability flow
from t to s is solved by either of

    x_s = sigma_s / sigma_t x_t + alpha_s int_0^h exp(-(h - u)) x0(lambda_t + u) du        (data)
    x_s = alpha_s / alpha_t x_t - sigma_s int_0^h exp(h - u) noise(lambda_t + u) du        (noise)

(DPM-Solver++, arXiv:2211.01095, proposition 4.1; DPM-Solver, arXiv:2206.00927, proposition 3.1).
The linear part is exact, and a sampler only chooses where to evaluate x0 or the noise and how to
interpolate between. With either one constant the step is DDIM. With the polynomial through values
at several nodes, its integral against the exponential is a sum of

    phi_k(z) = int_0^1 exp((1 - theta) z) theta^(k-1) / (k-1)! d theta.

Nothing here asks which process it is. Where alpha_t = 0 (rectified flow at t = 1), the data form is
finite as it stands, and of the noise form the finite part is kept, which is DDIM.
"""

import math
from collections.abc import Callable, Sequence
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from scoresde.denoiser import BaseDenoiser
from scoresde.predictions import Prediction
from scoresde.samplers.driver import GridSampler
from scoresde.sdes import SDE

# Bounds of lambda, so that a step from alpha = 0 or to sigma = 0 has a finite h with a finite exp.
_LARGEST = 40.0


def half_log_snr(sde: SDE, t: Array) -> Array:
    """lambda(t) = log(alpha / sigma), within [-40, 40]."""
    return jnp.clip(0.5 * sde.log_snr(t), -_LARGEST, _LARGEST)


def time_between(sde: SDE, t: Array, s: Array, fraction: float) -> Array:
    """The time at lambda_t + fraction h."""
    lambda_t, lambda_s = half_log_snr(sde, t), half_log_snr(sde, s)
    return sde.time_of_log_snr(2 * (lambda_t + fraction * (lambda_s - lambda_t)))


def emerges(sde: SDE, t: Array, s: Array) -> Array:
    """Whether the data appear out of next to nothing: alpha grows a hundredfold, or from 0.

    A noise form would multiply every change of the noise within the step by as much.
    """
    return sde.alpha(s) > 100 * sde.alpha(t)


def data_step(sde: SDE, x: Array, x0: Array, t: Array, s: Array) -> Array:
    """The step from x at t to s with the data prediction held at `x0`."""
    h = half_log_snr(sde, s) - half_log_snr(sde, t)
    return sde.sigma(s) / sde.sigma(t) * x - sde.alpha(s) * jnp.expm1(-h) * x0


def noise_step(sde: SDE, prediction: Prediction, noise: Array, t: Array, s: Array) -> Array:
    """The step to s, from the x at t that `prediction` is of, with the noise held at `noise`.

    alpha_s / alpha_t x - sigma_s (exp(h) - 1) noise: PNDM's transfer (arXiv:2202.09778, equation
    11) and, for x / alpha as a function of sigma / alpha, Euler's step.
    """
    h = half_log_snr(sde, s) - half_log_snr(sde, t)
    change = jnp.where(emerges(sde, t, s), 0.0, -sde.sigma(s) * jnp.expm1(h))
    ddim = sde.alpha(s) * prediction.x0 + sde.sigma(s) * prediction.noise
    return ddim + change * (noise - prediction.noise)


def phi(count: int, z: Array) -> list[Array]:
    """[phi_1(z), ..., phi_count(z)], accurate for every z: near 0 by a series, else recursively."""
    small = jnp.abs(z) < 1
    inside, outside = jnp.where(small, z, 0.0), jnp.where(small, 1.0, z)
    series = jnp.zeros_like(z)
    for n in range(18, -1, -1):  # sum of z^n / (n + count)!
        series = series * inside + 1 / math.factorial(n + count)
    near, far = [series], [jnp.expm1(outside) / outside]
    for k in range(count - 1, 0, -1):
        near.insert(0, 1 / math.factorial(k) + inside * near[0])
    for k in range(1, count):
        far.append((far[-1] - 1 / math.factorial(k)) / outside)
    return [jnp.where(small, a, b) for a, b in zip(near, far)]


def _lagrange(nodes: Sequence[Array], k: int) -> list[Array]:
    """Coefficients of theta, theta^2, ... of the polynomial that is 1 at node k, 0 at the others
    and at theta = 0."""
    coefficients = [1 / nodes[k]]
    for j, node in enumerate(nodes):
        if j != k:  # multiply by (theta - node) / (node_k - node)
            raised, kept = [0.0, *coefficients], [*coefficients, 0.0]
            coefficients = [(a - node * b) / (nodes[k] - node) for a, b in zip(raised, kept)]
    return coefficients


def weights(nodes: Sequence[Array], h: Array, sign: int) -> list[Array]:
    """The integrals that multiply the values at the nodes, less the value at t.

    int_0^h exp(sign (h - u)) l_k(u / h) du with the Lagrange polynomials l_k of `nodes` and 0.

    Args:
        nodes: where values are known, as theta = (lambda - lambda_t) / h; distinct, none of them 0.
        h: the step in lambda.
        sign: -1 for the data form, 1 for the noise form.
    """
    moments = [math.factorial(k + 1) * f for k, f in enumerate(phi(len(nodes) + 1, sign * h)[1:])]
    return [
        h * sum(c * moment for c, moment in zip(_lagrange(nodes, k), moments))
        for k in range(len(nodes))
    ]


def trapezoid(nodes: Sequence[Array], h: Array, sign: int) -> list[Array]:
    """`weights` of one node with phi_1 / 2 in place of phi_2: of the same order, 2, and published
    for DPM-Solver++ and UniPC."""
    return [sign * jnp.expm1(sign * h) / (2 * node) for node in nodes]


class Multistep(GridSampler):
    """A multistep method of `order`, which needs as many values: the newest, and earlier steps'.

    With `full_start`, the first order - 2 steps, which have too few, take order - 2 evaluations
    within the step in their place. Without, as published, their lower order leaves the whole at
    order 2, unless they are short.
    """

    order: ClassVar[int]
    full_start: ClassVar[bool] = True
    denoise_rules: ClassVar[tuple[str, ...]] = ("tweedie", "none")

    def init(self, x, denoiser, steps):
        return History.empty(x, self.order)

    def total_evaluations(self, steps):
        short = max(0, self.order - 2) if self.full_start else 0
        return steps + short * jnp.minimum(steps, short)

    def correct(
        self, history: "History", start: Callable[[], Array], multistep: Callable[[], Array]
    ) -> Array:
        """What `multistep` adds to the step or, while the history is too short, what `start` does.

        A step of order k - 1 from its start alone is enough where the whole has order k.
        """
        if self.order <= 2 or not self.full_start:
            return multistep()
        return jax.lax.cond(history.length < self.order - 1, start, multistep)


def noise_correction(
    denoiser: BaseDenoiser, prediction: Prediction, t: Array, s: Array, order: int
) -> Array:
    """What evaluations within the step from t to s add to `noise_step`, for a step of this order.

    Exponential Runge-Kutta: every evaluation starts from the one before it, as in DPM-Solver-3
    (arXiv:2206.00927, algorithm 2). `prediction` is that at t; order 2 takes one evaluation more,
    order 3 two.
    """
    sde, noise = denoiser.sde, prediction.noise
    h = half_log_snr(sde, s) - half_log_snr(sde, t)
    h = jnp.where(emerges(sde, t, s), 0.0, h)  # a step out of nothing is DDIM's
    before, change = None, None
    for fraction in {2: (1 / 2,), 3: (1 / 3, 2 / 3)}[order]:
        between = time_between(sde, t, s, fraction)
        x = noise_step(sde, prediction, noise, t, between)
        if before is not None:
            x -= sde.sigma(between) * weights([before / fraction], fraction * h, 1)[0] * change
        before, change = fraction, denoiser(x, between).noise - noise
    return -sde.sigma(s) * weights([before], h, 1)[0] * change


class History(NamedTuple):
    """The last K values of a prediction, newest first.

    Attributes:
        values: [K, batch, ...].
        nodes: where they were taken, [K]; in lambda or in t.
        length: how many of them there are so far, at most K.
    """

    values: Array
    nodes: Array
    length: Array

    @classmethod
    def empty(cls, x: Array, size: int) -> "History":
        """Room for `size` values like x."""
        # Distinct nodes, far off: the weights of missing values are finite before they are dropped.
        nodes = -1e3 * jnp.arange(1.0, size + 1)
        return cls(jnp.zeros((size, *x.shape), x.dtype), nodes, jnp.int32(0))

    def newest(self, count: int) -> "History":
        """The `count` newest values."""
        return History(self.values[:count], self.nodes[:count], jnp.minimum(self.length, count))

    def push(self, value: Array, node: Array) -> "History":
        """With one more value; the oldest is forgotten."""
        return History(
            jnp.roll(self.values, 1, axis=0).at[0].set(value),
            jnp.roll(self.nodes, 1).at[0].set(node),
            jnp.minimum(self.length + 1, len(self.nodes)),
        )

    def combine(self, base: int, by_length: Sequence[Sequence[Array]]) -> Array:
        """Sum of weight_k (values_k - values_base), the weights being `by_length[length]`.

        The rows may be shorter than the history; what is missing has weight zero. While the history
        grows to its K values, this raises the order of a sampler step by step.
        """
        size, zero = len(self.nodes), jnp.zeros(())
        table = jnp.stack([jnp.stack([*row, *[zero] * (size - len(row))]) for row in by_length])
        chosen = table[self.length].astype(self.values.dtype)
        return jnp.tensordot(chosen, self.values - self.values[base], 1)


def midpoint(nodes: Sequence[Array], h: Array, sign: int) -> list[Array]:
    """The weights that extrapolate to the middle of the step, from one node."""
    return [0.5 / node for node in nodes]


def extrapolate(history: History, h: Array, sign: int, second: Callable) -> Array:
    """What the values before the newest add to a step of size h from there, [batch, ...].

    A step four times as long as the one before would extrapolate its difference too far (as the
    last step to a small t_min does on a grid uniform in t): it only uses the newest value.

    Args:
        history: with the newest value at lambda_t.
        h: the step in lambda.
        sign: as in `weights`.
        second: the rule for two values: `weights`, `trapezoid` or `midpoint`.
    """
    zero = jnp.zeros(())
    theta = list((history.nodes[1:] - history.nodes[0]) / h)
    rows = [[], [zero]]
    for n in range(1, len(theta) + 1):
        rows.append([zero, *(second if n == 1 else weights)(theta[:n], h, sign)])
    if theta:
        usable = jnp.where(theta[0] > -0.25, 1, history.length)
        history = history._replace(length=usable)
    return history.combine(0, rows)
