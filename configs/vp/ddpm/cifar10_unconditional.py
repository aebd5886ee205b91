"""DDPM on CIFAR-10 that is not told the noise level (arXiv:2011.13456)."""

from scoresde.configs import networks, processes


def get_config():
    """The experiment."""
    return processes.discrete_variance_preserving(networks.ddpm(conditional=False))
