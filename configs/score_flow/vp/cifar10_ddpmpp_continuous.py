"""DDPM++ (VP) on CIFAR-10, for its likelihood (arXiv:2101.09258)."""

from scoresde.configs import networks, processes


def get_config():
    """The experiment."""
    return processes.maximum_likelihood("vp", networks.ddpmpp())
