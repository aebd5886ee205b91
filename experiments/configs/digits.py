"""Samplers on the demo's model of the digits (`make demo` first)."""

import ml_collections


def get_config():
    """The sweep."""
    nfe = (6, 12, 25, 50, 100)
    return ml_collections.ConfigDict(
        {
            "problem": {"name": "trained", "workdir": "runs/demo"},
            "num_samples": 256,
            "batch_size": 256,
            "repeats": 3,
            "seed": 0,
            "metrics": ("sliced_wasserstein", "energy_distance"),
            "sweep": (
                {"name": "euler_maruyama", "nfe": nfe},
                {"name": "ancestral_sampling", "nfe": nfe},
                {"name": "pc", "snr": 0.16, "nfe": nfe},
                {"name": "ddim", "nfe": nfe, "grid": "log_snr"},
                {"name": "dpm_solver_pp_2m", "nfe": nfe, "grid": "log_snr"},
                {"name": "probability_flow", "rtol": 1e-3, "atol": 1e-3},
            ),
        }
    )
