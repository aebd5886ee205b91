"""Likelihoods of a 16-d mixture against its exact density: no network, no training."""

import ml_collections
import numpy as np


def get_config():
    """The sweep."""
    generator = np.random.default_rng(0)
    factors = generator.normal(size=(3, 16, 16)) / 8
    covariances = factors @ factors.transpose(0, 2, 1) + 0.05 * np.eye(16)
    tolerances = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
    return ml_collections.ConfigDict(
        {
            "problem": {
                "name": "mixture",
                "weights": (0.5, 0.3, 0.2),
                "means": tuple(map(tuple, generator.normal(size=(3, 16)).tolist())),
                "covariances": tuple(tuple(map(tuple, c)) for c in covariances.tolist()),
                "sde": {"name": "vp"},
            },
            "num_images": 256,
            "batch_size": 256,
            "passes": 1,
            "seed": 0,
            "sweep": (
                {"trace": "exact", "tolerance": tolerances},
                {"trace": "exact", "tolerance": 1e-5, "t_min": (1e-2, 1e-3, 1e-4)},
                {"trace": "rademacher", "probes": (1, 4, 16), "tolerance": (1e-3, 1e-5)},
                {"trace": "gaussian", "probes": (1, 4, 16), "tolerance": 1e-5},
                {"bound": "score_flow", "samples": (16, 64, 256), "repeats": 4},
            ),
        }
    )
