"""NCSN++ cont. (VE) on LSUN bedrooms, 256x256 (arXiv:2011.13456)."""

from scoresde.configs import datasets, networks, processes


def get_config():
    """The experiment."""
    config = processes.variance_exploding(
        networks.ncsnpp_256(), sigma_max=378.0, num_scales=2000, snr=0.075
    )
    return datasets.lsun(config, "bedroom")
