"""A small DDPM++ (vp) on the embedded handwritten digits: minutes on two cores."""

from scoresde.configs import datasets, networks, processes


def get_config():
    """The experiment."""
    config = datasets.digits(processes.variance_preserving("vp", networks.ddpmpp()))
    config.sampler = processes.Section(
        {"name": "dpm_solver_pp_2m", "steps": 40, "grid": "log_snr", "t_min": 1e-3}
    )
    return config
