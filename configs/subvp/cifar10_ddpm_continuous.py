"""DDPM cont. (sub-VP) on CIFAR-10: published 3.05 bits/dim, ODE FID 3.56 (arXiv:2011.13456)."""

from scoresde.configs import networks, processes


def get_config():
    """The experiment."""
    return processes.variance_preserving("subvp", networks.ddpm())
