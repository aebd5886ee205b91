"""The bound of several samples."""

import jax.numpy as jnp
import numpy as np
from scipy import stats

from scoresde.likelihood import importance_bound


def test_importance_bound():
    """K samples of a wide proposal: rising toward log p, exact for a constant."""
    log_weights = jnp.full((7, 3), -2.0)
    np.testing.assert_allclose(importance_bound(log_weights), -2.0, rtol=1e-6)
    rng = np.random.default_rng(0)
    z = rng.normal(0, 2.0, size=(2000, 64))
    joint = stats.norm.logpdf(z) + stats.norm.logpdf(0.7, z)
    weights = joint - stats.norm.logpdf(z, 0, 2.0)
    log_p = stats.norm.logpdf(0.7, 0, np.sqrt(2))
    one, many = (importance_bound(weights[:, :k], axis=1).mean() for k in (1, 64))
    assert one < log_p - 0.3 and log_p - 0.05 < many < log_p + 0.005
