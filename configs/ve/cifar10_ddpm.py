"""DDPM's network (VE) on CIFAR-10, discrete: published FID 3.60 (arXiv:2011.13456, table 1)."""

from scoresde.configs import networks, processes


def get_config():
    """The experiment."""
    return processes.discrete_variance_exploding(networks.ddpm())
