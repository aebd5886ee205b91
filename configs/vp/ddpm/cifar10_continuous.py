"""DDPM cont. (VP) on CIFAR-10: published 3.21 bits/dim, ODE FID 3.69 (arXiv:2011.13456)."""

from scoresde.configs import networks, processes


def get_config():
    """The experiment."""
    return processes.variance_preserving("vp", networks.ddpm())
