"""NCSN++ cont. (VE) on CelebA-HQ, 1024x1024 (arXiv:2011.13456)."""

from scoresde.configs import datasets, networks, processes


def get_config():
    """The experiment."""
    config = processes.variance_exploding(
        networks.ncsnpp_1024(), sigma_max=1348.0, num_scales=2000, snr=0.15
    )
    return datasets.celebahq(config, 1024)
