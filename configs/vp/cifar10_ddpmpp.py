"""DDPM++ on CIFAR-10, discrete times: published FID 2.78 (arXiv:2011.13456)."""

from scoresde.configs import networks, processes


def get_config():
    """The experiment."""
    return processes.discrete_variance_preserving(networks.ddpmpp())
