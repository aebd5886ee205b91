"""Data with a known density: the truth that tests and studies measure against.

If the data follow a Gaussian mixture, so does x_t at every t, with component means alpha m_k and
covariances alpha^2 C_k + sigma^2 I. The score, the posterior means of x_0 and of the noise, and
log p_t are then exact.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from scoresde import plain
from scoresde.condition import Condition
from scoresde.denoiser import BaseDenoiser
from scoresde.keys import one_key
from scoresde.predictions import Prediction
from scoresde.registry import UsageError, first_line, shown
from scoresde.sdes import SDE


@jax.tree_util.register_pytree_node_class
class GaussianMixture:
    """A mixture of K Gaussians over events of any shape (d = the event's size).

    Attributes:
        log_weights: [K].
        means: [K, d].
        variances: [K, d], the eigenvalues of the covariances.
        directions: [K, d, d], their eigenvectors in columns.
        event_shape: shape of one sample.
    """

    def __init__(self, weights: ArrayLike, means: ArrayLike, covariances: ArrayLike):
        """
        Args:
            weights: [K], positive; they are normalized to sum to one.
            means: [K, *event_shape].
            covariances: [K, d, d], symmetric and positive semi-definite.

        Raises:
            UsageError: the shapes disagree, a weight is not positive, or a covariance is not
                symmetric positive semi-definite.
        """
        try:
            given = weights, means, covariances
            weights, means, covariances = (np.asarray(array, np.float64) for array in given)
        except (TypeError, ValueError) as error:
            raise UsageError(
                f"A mixture is made of arrays of numbers: {first_line(error)}."
            ) from None
        if weights.ndim != 1 or means.ndim < 2 or len(means) != len(weights):
            raise UsageError(
                "A mixture takes weights [K] and means [K, ...], "
                f"got shapes {weights.shape} and {means.shape}."
            )
        num, dims = len(weights), means[0].size
        if covariances.shape != (num, dims, dims):
            raise UsageError(
                f"Means {means.shape} need covariances [{num}, {dims}, {dims}], "
                f"got {covariances.shape}."
            )
        if not (weights > 0).all():
            raise UsageError(f"Mixture weights must be positive, got {weights.tolist()}.")
        scale = np.abs(covariances).max() + 1e-300
        if np.abs(covariances - covariances.transpose(0, 2, 1)).max() > 1e-5 * scale:
            raise UsageError("The covariances must be symmetric.")
        variances, directions = np.linalg.eigh(covariances)
        if variances.min() < -1e-5 * scale:
            raise UsageError(
                f"A covariance has the negative eigenvalue {variances.min():.3g}; "
                "covariances must be positive semi-definite."
            )

        asarray = functools.partial(jnp.asarray, dtype=jnp.result_type(float))
        self.log_weights = asarray(np.log(weights / weights.sum()))
        self.means = asarray(means.reshape(num, dims))
        self.variances = asarray(np.maximum(variances, 0))
        self.directions = asarray(directions)
        self.event_shape = means.shape[1:]

    def tree_flatten(self):
        return (self.log_weights, self.means, self.variances, self.directions), self.event_shape

    @classmethod
    def tree_unflatten(cls, event_shape, children):
        mixture = object.__new__(cls)  # not through __init__, which computes on the host
        mixture.log_weights, mixture.means, mixture.variances, mixture.directions = children
        mixture.event_shape = event_shape
        return mixture

    def sample(self, key: Array, num: int) -> Array:
        """`num` exact samples, [num, *event_shape].

        Raises:
            UsageError: `key` is no random key, or `num` no number of samples.
        """
        key = one_key(key)
        plain.check("The number of samples", num, int)
        which_key, noise_key = jax.random.split(key)
        which = jax.random.categorical(which_key, self.log_weights, shape=(num,))
        noise = jax.random.normal(noise_key, (num, self.means.shape[1]), self.means.dtype)
        scaled = noise * jnp.sqrt(self.variances[which])
        x = self.means[which] + jnp.einsum("nij,nj->ni", self.directions[which], scaled)
        return x.reshape(num, *self.event_shape)

    def log_prob(
        self,
        x: Array,
        alpha: ArrayLike = 1.0,
        sigma: ArrayLike = 0.0,
        among: Array | None = None,
    ) -> Array:
        """Exact log density in nats, [batch], of alpha x_0 + sigma noise at x [batch, ...].

        With the default arguments, of the data. `alpha` and `sigma` are scalars or [batch]. `among`
        says which components each sample may be of, bool [batch, K]: the density is that of x given
        that it is of one of them.
        """
        joint = self._at(x, alpha, sigma)[0]
        if among is None:
            return jax.nn.logsumexp(joint, axis=1)
        total, share = (
            jax.nn.logsumexp(jnp.where(among, logs, -jnp.inf), axis=1)
            for logs in (joint, self.log_weights)
        )
        return total - share

    def responsibilities(
        self, x: Array, alpha: ArrayLike = 1.0, sigma: ArrayLike = 0.0, among: Array | None = None
    ) -> Array:
        """p(component | x), [batch, K]; the arguments are those of `log_prob`."""
        joint = self._at(x, alpha, sigma)[0]
        return jax.nn.softmax(joint if among is None else jnp.where(among, joint, -jnp.inf), axis=1)

    @property
    def mean(self) -> Array:
        """The mean of the data, [d]."""
        return jnp.exp(self.log_weights) @ self.means

    @property
    def covariance(self) -> Array:
        """The covariance of the data, [d, d]: within the components and between them."""
        weights, offset = jnp.exp(self.log_weights), self.means - self.mean
        scaled = self.directions * jnp.sqrt(self.variances)[:, None, :]
        within = jnp.einsum("k,kij,klj->il", weights, scaled, scaled)
        return within + jnp.einsum("k,ki,kj->ij", weights, offset, offset)

    def given(self, matrix: ArrayLike, noise: ArrayLike, y: ArrayLike) -> "GaussianMixture":
        """The data given y = matrix x0 + noise z, again a mixture of K Gaussians.

        Each component by Kalman's update, in Joseph's form, and weighed by its evidence.

        Args:
            matrix: [m, d].
            noise: the standard deviation of y, a number or [m]; it may be zero where the
                components have variance.
            y: [m].

        Raises:
            UsageError: shapes that do not fit, or a y that some component makes certain.
        """
        a, y = np.asarray(matrix, np.float64), np.asarray(y, np.float64)
        if a.ndim != 2 or a.shape[1] != self.means.shape[1] or y.shape != a.shape[:1]:
            raise UsageError(
                f"Samples of size {self.means.shape[1]} are observed by a matrix [m, "
                f"{self.means.shape[1]}] as y [m], not by {a.shape} as {y.shape}."
            )
        r = np.diag(np.broadcast_to(np.asarray(noise, np.float64) ** 2, y.shape))
        logs, means, variances, directions = (
            np.asarray(value, np.float64) for value in self.tree_flatten()[0]
        )
        covariances = np.einsum("kij,kj,klj->kil", directions, variances, directions)
        s = a @ covariances @ a.T + r
        sign, volume = np.linalg.slogdet(s)
        if not (sign > 0).all():
            raise UsageError("Some component leaves nothing of y uncertain: give it some noise.")
        gain = np.swapaxes(np.linalg.solve(s, a @ covariances), 1, 2)
        residual = y - means @ a.T
        rest = np.eye(a.shape[1]) - gain @ a
        after = np.swapaxes(rest, 1, 2)
        after = rest @ covariances @ after + gain @ r @ np.swapaxes(gain, 1, 2)
        whitened = np.linalg.solve(s, residual[..., None])[..., 0]
        logs = logs - 0.5 * (volume + np.sum(residual * whitened, axis=1))
        # A component of no weight would be refused.
        weights = np.maximum(np.exp(logs - logs.max()), np.finfo(np.float32).tiny)
        means = means + np.einsum("kij,kj->ki", gain, residual)
        return GaussianMixture(weights, means.reshape(-1, *self.event_shape), after)

    def denoiser(self, sde: SDE) -> "MixtureDenoiser":
        """The exact denoiser of this data under `sde`.

        Raises:
            UsageError: `sde` is no process.
        """
        if not isinstance(sde, SDE):
            raise UsageError(f"A denoiser takes a process, as sdes.VP(), not {shown(sde)}.")
        return MixtureDenoiser(sde, self)

    def _at(self, x, alpha, sigma):
        """Joint log p(x, k) [n, k], and in each component's eigenbasis the whitened offset
        C_k(t)^{-1} (x - alpha m_k) [n, k, d]."""
        if jnp.shape(x)[1:] != self.event_shape:
            raise UsageError(
                f"A sample of this mixture has the shape {self.event_shape}, so that x is "
                f"[batch, {', '.join(map(str, self.event_shape))}], not {jnp.shape(x)}."
            )
        x = jnp.asarray(x)
        batch = x.shape[0]
        alpha = jnp.broadcast_to(jnp.asarray(alpha, x.dtype), (batch,))[:, None, None]
        sigma = jnp.broadcast_to(jnp.asarray(sigma, x.dtype), (batch,))[:, None, None]
        offset = x.reshape(batch, 1, -1) - alpha * self.means
        offset = jnp.einsum("kij,nki->nkj", self.directions, offset)
        variance = alpha**2 * self.variances + sigma**2
        whitened = offset / variance
        log_normal = -0.5 * jnp.sum(offset * whitened + jnp.log(2 * jnp.pi * variance), axis=2)
        return self.log_weights + log_normal, whitened

    def posterior(
        self, x: Array, alpha: ArrayLike, sigma: ArrayLike, among: Array | None = None
    ) -> Prediction:
        """E[x_0 | x] and E[noise | x] for x = alpha x_0 + sigma noise, each [batch, ...].

        `among` is as of `log_prob`.
        """
        joint, whitened = self._at(x, alpha, sigma)
        if among is not None:
            joint = jnp.where(among, joint, -jnp.inf)
        responsibility = jax.nn.softmax(joint, axis=1)[:, :, None]

        def average(per_component):  # [n, k, d] in eigenbases -> [n, d]
            return jnp.einsum("kij,nkj->ni", self.directions, responsibility * per_component)

        column = functools.partial(jnp.reshape, shape=(-1, 1))
        alpha, sigma = jnp.asarray(alpha, x.dtype), jnp.asarray(sigma, x.dtype)
        mean = jnp.einsum("nk,kd->nd", responsibility[:, :, 0], self.means)
        x0 = mean + column(alpha) * average(self.variances * whitened)
        noise = column(sigma) * average(whitened)
        return Prediction(x0=x0.reshape(x.shape), noise=noise.reshape(x.shape))


def gaussian(mean: ArrayLike, covariance: ArrayLike) -> GaussianMixture:
    """One Gaussian: mean [*event_shape], covariance [d, d]."""
    return GaussianMixture([1.0], np.asarray(mean)[None], np.asarray(covariance)[None])


@functools.partial(jax.tree_util.register_dataclass, data_fields=["sde", "data"], meta_fields=[])
@dataclasses.dataclass(frozen=True)
class MixtureDenoiser(BaseDenoiser):
    """The exact denoiser of Gaussian-mixture data, which reads no condition."""

    sde: SDE
    data: GaussianMixture

    def __call__(self, x: Array, t: Array, condition: Condition = None) -> Prediction:
        t = jnp.broadcast_to(jnp.asarray(t, x.dtype), x.shape[:1])
        return self.data.posterior(x, self.sde.alpha(t), self.sde.sigma(t))

    @property
    def condition_names(self) -> set[str]:
        return set()

    def terminal_log_prob(self, z: Array, condition: Condition = None) -> Array:
        """Exact log p at t_max, which the prior only approximates."""
        return self.log_prob(z, self.sde.t_max)

    def log_prob(self, x: Array, t: Array) -> Array:
        """Exact log p_t(x) in nats, [batch]."""
        return self.data.log_prob(x, self.sde.alpha(t), self.sde.sigma(t))
