"""NCSN++ cont. deep (VE) on CIFAR-10: published FID 2.20 (arXiv:2011.13456)."""

from scoresde.configs import networks, processes


def get_config():
    """The experiment."""
    config = processes.variance_exploding(networks.ncsnpp_of_sigma(num_res_blocks=8))
    config.training.num_steps = 950_001
    return config
