"""A small DDPM++ (vp) on the embedded handwritten digits: minutes on two cores."""

from configs import datasets, networks, processes


def get_config():
    """The experiment."""
    return datasets.digits(processes.variance_preserving("vp", networks.ddpmpp()))
