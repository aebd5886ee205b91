"""EDM's NCSN++ on CIFAR-10, unconditional: FID 1.98 (arXiv:2206.00364)."""

from scoresde.configs import networks, processes


def get_config():
    """The experiment."""
    return processes.edm(networks.edm_ncsnpp())
