"""Samplers on a 2-d mixture with the exact score: no network, no training."""

import ml_collections


def get_config():
    """The sweep."""
    nfe = (6, 12, 25, 50, 100, 200)
    return ml_collections.ConfigDict(
        {
            "problem": {
                "name": "mixture",
                "weights": (0.5, 0.3, 0.2),
                "means": ((1.0, 0.0), (-1.0, 0.5), (0.0, -1.0)),
                "covariances": (
                    ((0.05, 0.0), (0.0, 0.05)),
                    ((0.1, 0.0), (0.0, 0.04)),
                    ((0.05, 0.03), (0.03, 0.05)),
                ),
                "sde": {"name": "vp"},
            },
            "num_samples": 8192,
            "batch_size": 8192,
            "repeats": 3,
            "seed": 0,
            "metrics": ("sliced_wasserstein", "energy_distance"),
            "sweep": (
                {"name": "euler_maruyama", "nfe": nfe},
                {"name": "reverse_diffusion", "nfe": nfe},
                {"name": "ancestral_sampling", "nfe": nfe},
                {"name": "pc", "snr": 0.16, "nfe": nfe},
                {"name": "ddim", "eta": (0.0, 1.0), "nfe": nfe, "grid": "log_snr"},
                {"name": "heun", "nfe": nfe, "grid": "quadratic"},
                {"name": "dpm_solver_pp_2m", "nfe": nfe, "grid": "log_snr"},
                {"name": "unipc", "nfe": nfe, "grid": "log_snr"},
                {"name": "probability_flow", "rtol": (1e-2, 1e-3), "atol": 1e-3},
            ),
        }
    )
