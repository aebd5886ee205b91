"""DDPM on CIFAR-10, discrete times: published FID 3.24 (arXiv:2011.13456, table 1)."""

from scoresde.configs import networks, processes


def get_config():
    """The experiment."""
    return processes.discrete_variance_preserving(networks.ddpm())
