"""Data of two classes, in which everything about guidance has a closed form."""

import numpy as np

from scoresde.analytic import GaussianMixture
from scoresde.labeled_mixture import labeled_mixture

# As in the golden files: shares, and each class's weights, means and variances.
CASES = {
    "overlapping": ([0.5, 0.5], ([1.0], [-1.0], [0.64]), ([1.0], [1.0], [0.64])),
    "mixtures": (
        [0.3, 0.7],
        ([0.4, 0.6], [-2.0, 0.2], [0.25, 0.16]),
        ([0.5, 0.5], [-0.6, 1.8], [0.09, 0.36]),
    ),
}


def of_case(name):
    """The data of the golden file of this name, in one dimension."""
    shares, *classes = CASES[name]
    return labeled_mixture(
        shares, [GaussianMixture(w, np.c_[m], np.reshape(v, (-1, 1, 1))) for w, m, v in classes]
    )


def images():
    """1x2x1 images of two classes."""
    means = np.array([[[[-1.0], [0.3]]]]), np.array([[[[0.8], [-0.2]]]])
    covariances = np.diag([0.3, 0.1])[None], np.array([[[0.2, 0.1], [0.1, 0.4]]])
    parts = [GaussianMixture([1.0], *part) for part in zip(means, covariances)]
    return labeled_mixture([0.4, 0.6], parts)
