"""What the bounds are measured against."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats


def assert_unbiased(values, stderr, truth, bias=0.0, sigmas=4.5):
    """Each value within its own error of the truth, and their mean within that of the mean."""
    error, stderr = np.asarray(values) - np.asarray(truth), np.asarray(stderr)
    assert (np.abs(error) < 1.6 * sigmas * stderr + bias).all()  # Student's t has heavy tails
    assert abs(error.mean()) < sigmas * np.sqrt((stderr**2).mean() / error.size) + bias


class GaussianTruth:
    """What a Gaussian's bound consists of, in float64, from its eigenvalues."""

    def __init__(self, data, sde, x):
        self.sde = sde
        self.variance = np.asarray(data.variances[0], np.float64)
        offset = np.reshape(x, (len(x), -1)) - np.asarray(data.means[0])
        self.offset = np.asarray(offset, np.float64) @ np.asarray(data.directions[0], np.float64)
        self.x = np.reshape(np.asarray(x, np.float64), (len(x), -1))

    def at(self, t):
        with jax.enable_x64(True):
            both = jax.jit(lambda t: jnp.stack([self.sde.alpha(t), self.sde.sigma(t)]))
            return np.asarray(both(np.float64(t)))

    def noise_error(self, alpha, sigma):
        """E||noise - predicted||^2 given x, from predicted = sigma (x_t - alpha m) / V."""
        total = alpha**2 * self.variance + sigma**2
        square = (alpha * sigma * self.offset) ** 2 + (alpha**2 * self.variance) ** 2
        return np.sum(square / total**2, axis=-1)

    def diffusion(self, t_min, nodes=2000):
        """The integral over the log-SNR, in which g^2 / sigma^2 dt = -d log_snr."""
        log_snr = [2 * np.log(a / s) for a, s in map(self.at, (t_min, self.sde.t_max))]
        grid = np.linspace(log_snr[0], log_snr[1], nodes)
        # The error depends on the ratio of alpha and sigma alone.
        values = self.noise_error(1.0, np.exp(-0.5 * grid)[:, None, None])
        return -0.5 * np.trapezoid(values, grid, axis=0)

    def prior(self):
        alpha, sigma = self.at(self.sde.t_max)
        std = float(self.sde.prior_std)
        square = (alpha * self.x / std) ** 2
        return 0.5 * np.sum(square + (sigma / std) ** 2 - 1 - 2 * np.log(sigma / std), axis=1)


def gaussian_mass(k, bins, mean, std):
    """Of level k of `bins` on [-1, 1], in float64: equation 13 of DDPM, edge bins to infinity."""
    value, half = 2 * k / (bins - 1) - 1, 1 / (bins - 1)
    low = -np.inf if k == 0 else (value - half - mean) / std
    high = np.inf if k == bins - 1 else (value + half - mean) / std
    return np.where(  # in the tail where the digits are
        low + high > 0,
        stats.norm.cdf(-low) - stats.norm.cdf(-high),
        stats.norm.cdf(high) - stats.norm.cdf(low),
    )
