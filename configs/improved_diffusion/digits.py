"""A small DDPM++ on the digits with learned variances, on a cosine chain (improved DDPM)."""

from scoresde.configs import datasets, networks, processes


def get_config():
    """The experiment."""
    config = datasets.digits(processes.variance_preserving("vp", networks.ddpmpp()))
    config.sde = processes.Section({"name": "discrete_cosine", "num_scales": 1000})
    config.prediction = processes.Section(
        {
            "name": "noise",
            "time_input": {"name": "index", "num_scales": 1000},
            "learned_variance": True,
        }
    )
    config.network.outputs_per_channel = 2
    config.loss = processes.Section({"objective": "hybrid", "times": {"name": "discrete"}})
    config.data.dequantize = False  # L_vlb is of the levels themselves
    config.likelihood.t_min = None
    config.sampler = processes.Section(
        {
            "name": "ancestral_sampling",
            "variance": "learned",
            # From level 980: at 999 alpha is 5e-5, and x0 = (x - sigma noise) / alpha is anything.
            "grid": {"name": "respaced", "spacing": "ddim50"},
        }
    )
    return config
