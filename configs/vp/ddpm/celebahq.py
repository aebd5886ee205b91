"""DDPM on CelebA-HQ, 256x256, discrete times (arXiv:2006.11239; arXiv:2011.13456)."""

from scoresde.configs import datasets, networks, processes


def get_config():
    """The experiment."""
    network = networks.ddpm(ch_mult=(1, 1, 2, 2, 4, 4))
    config = processes.discrete_variance_preserving(network)
    config.optimizer.learning_rate = 2e-5
    return datasets.celebahq(config, 256)
