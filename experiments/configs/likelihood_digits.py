"""Likelihoods of the demo's model of the digits (`make demo` first)."""

import ml_collections


def get_config():
    """The sweep."""
    return ml_collections.ConfigDict(
        {
            "problem": {"name": "trained", "workdir": "runs/demo", "split": "test"},
            "num_images": 64,
            "batch_size": 64,
            "passes": 2,
            "seed": 0,
            "sweep": (
                {"tolerance": (1e-2, 1e-3, 1e-4, 1e-5), "probes": 1},
                {"tolerance": 1e-3, "probes": (2, 4, 8)},
                {"tolerance": 1e-3, "probes": 2, "t_min": (1e-2, 1e-3, 1e-4)},
                {
                    "tolerance": 1e-3,
                    "probes": 2,
                    "dequantizer": "truncated_normal",
                    "dequantizer_std": (0.03, 0.05, 0.1),  # of a bin of 2 / 17
                },
                {"bound": "score_flow", "samples": (16, 64), "repeats": 4},
            ),
        }
    )
