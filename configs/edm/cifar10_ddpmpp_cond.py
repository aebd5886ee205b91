"""EDM's DDPM++ on CIFAR-10, class-conditional: FID 1.79 (arXiv:2206.00364)."""

from scoresde.configs import networks, processes


def get_config():
    """The experiment."""
    return processes.edm(networks.edm_ddpmpp(label_dim=10))
