"""score_sde's classifier of noisy CIFAR-10 images, in VE (arXiv:2011.13456, appendix I)."""

from scoresde.configs import networks, processes


def get_config():
    """The experiment."""
    config = processes.variance_exploding(networks.ncsnpp_of_sigma())
    return processes.classifier(config, networks.wide_resnet(num_classes=10))
