"""The terms that bounds share, against closed forms."""

import numpy as np
from gaussian_truth import GaussianTruth

from scoresde import sdes
from scoresde.likelihood.bounds import prior_cost


def test_the_priors_cost_where_much_is_left_of_the_data(gaussian, key):
    """Also of processes that stop early: the KL divergence of two normals in float64."""
    images = gaussian.sample(key, 8)
    for sde in (sdes.VP(t_max=0.3), sdes.SubVP(t_max=0.4), sdes.VE(t_max=0.8)):
        truth = GaussianTruth(gaussian, sde, images)
        np.testing.assert_allclose(prior_cost(sde, images), truth.prior(), rtol=1e-5)
