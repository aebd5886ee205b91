"""NCSN++ cont. (VE) on CIFAR-10: published FID 2.38 (arXiv:2011.13456)."""

from configs import default


def get_config():
    """The experiment."""
    return default.variance_exploding()
