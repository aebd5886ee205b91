"""DDPM++ deep (sub-VP) on CIFAR-10, for its likelihood (arXiv:2101.09258)."""

from scoresde.configs import networks, processes


def get_config():
    """The experiment."""
    config = processes.maximum_likelihood("subvp", networks.ddpmpp(num_res_blocks=8))
    config.training.num_steps = 950_001
    return config
