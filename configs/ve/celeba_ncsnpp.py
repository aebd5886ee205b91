"""NCSN++ (VE) on CelebA, 64x64, discrete: FID about 2.5 by its author (arXiv:2011.13456)."""

from scoresde.configs import datasets, networks, processes


def get_config():
    """The experiment."""
    network = networks.ncsnpp()
    return datasets.celeba(processes.discrete_variance_exploding(network, sigma_max=90.0, snr=0.17))
