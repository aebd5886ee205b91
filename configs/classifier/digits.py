"""A classifier of noisy digits, which guides runs of `vp/digits`: two minutes on two cores."""

from scoresde.configs import datasets, networks, processes


def get_config():
    """The experiment."""
    config = datasets.digits(processes.variance_preserving("vp", networks.ddpmpp()))
    return processes.classifier(config, networks.small_classifier(num_classes=10))
