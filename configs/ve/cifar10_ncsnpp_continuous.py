"""NCSN++ cont. (VE) on CIFAR-10: published FID 2.38 (arXiv:2011.13456)."""

from scoresde.configs import networks, processes


def get_config():
    """The experiment."""
    return processes.variance_exploding(networks.ncsnpp_of_sigma())
