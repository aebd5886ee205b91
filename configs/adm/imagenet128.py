"""ADM on 128x128 ImageNet with its classes (arXiv:2105.05233)."""

from scoresde.configs import datasets, openai


def get_config():
    """The experiment."""
    network = openai.adm_unet(128, num_classes=1000, num_heads=4)
    config = openai.hybrid(openai.chain("linear", 1000, network))
    datasets.imagenet(config, 128, batch_size=256)
    return openai.training(config, 1e-4, 4_360_000, 256, flip=True)
