"""DDPM++ deep (VP) on ImageNet, 32x32, for its likelihood (arXiv:2101.09258)."""

from scoresde.configs import datasets, networks, processes


def get_config():
    """The experiment."""
    config = processes.maximum_likelihood("vp", networks.ddpmpp(num_res_blocks=8))
    config.training.num_steps = 950_001
    return datasets.imagenet32(config)
