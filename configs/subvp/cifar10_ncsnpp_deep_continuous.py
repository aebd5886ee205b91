"""NCSN++ cont. deep (sub-VP) on CIFAR-10 (arXiv:2011.13456)."""

from scoresde.configs import networks, processes


def get_config():
    """The experiment."""
    config = processes.variance_preserving("subvp", networks.ncsnpp(num_res_blocks=8))
    config.training.num_steps = 950_001
    return config
