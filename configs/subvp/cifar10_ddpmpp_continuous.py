"""DDPM++ cont. (sub-VP) on CIFAR-10: published FID 2.61, 3.02 bits/dim (arXiv:2011.13456)."""

from scoresde.configs import networks, processes


def get_config():
    """The experiment."""
    return processes.variance_preserving("subvp", networks.ddpmpp())
