"""DDPM++ (sub-VP) on ImageNet, 32x32, for its likelihood (arXiv:2101.09258)."""

from scoresde.configs import datasets, networks, processes


def get_config():
    """The experiment."""
    return datasets.imagenet32(processes.maximum_likelihood("subvp", networks.ddpmpp()))
