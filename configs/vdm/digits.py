"""A small DDPM++ on the digits and its noise schedule, trained by the variational bound (VDM)."""

from scoresde.configs import datasets, networks, processes


def get_config():
    """The experiment."""
    config = datasets.digits(processes.variance_preserving("vp", networks.ddpmpp()))
    # At gamma_min the noise is a tenth of the distance between two of the 17 levels.
    config.sde = processes.Section({"name": "learned_vp", "gamma_min": -10.0, "gamma_max": 5.0})
    config.prediction = processes.Section(
        {"name": "noise", "time_input": {"name": "log_sigma", "scale": 100.0}}
    )
    config.loss = processes.Section({"objective": "variational"})
    config.data.dequantize = False
    del config.likelihood.t_min  # the process's own
    config.sampler = processes.Section({"name": "dpm_solver_pp_2m", "steps": 40, "grid": "log_snr"})
    return config
