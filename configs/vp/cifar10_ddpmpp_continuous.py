"""DDPM++ cont. (VP) on CIFAR-10: published FID 2.55, 3.16 bits/dim (arXiv:2011.13456)."""

from configs import default


def get_config():
    """The experiment."""
    return default.variance_preserving("vp")
