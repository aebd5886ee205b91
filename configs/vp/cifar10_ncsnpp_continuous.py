"""NCSN++ cont. (VP) on CIFAR-10 (arXiv:2011.13456)."""

from scoresde.configs import networks, processes


def get_config():
    """The experiment."""
    return processes.variance_preserving("vp", networks.ncsnpp())
