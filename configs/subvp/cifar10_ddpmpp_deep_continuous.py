"""DDPM++ cont. deep (sub-VP) on CIFAR-10: published FID 2.41, 2.99 bits/dim (arXiv:2011.13456)."""

from scoresde.configs import networks, processes


def get_config():
    """The experiment."""
    config = processes.variance_preserving("subvp", networks.ddpmpp(num_res_blocks=8))
    config.training.num_steps = 950_001
    return config
