"""Improved DDPM on 64x64 ImageNet with its classes (arXiv:2102.09672)."""

from scoresde.configs import datasets, openai


def get_config():
    """The experiment."""
    network = openai.unet(64, 192, 3, num_classes=1000)
    config = openai.hybrid(openai.chain("cosine", 4000, network))
    openai.training(config, 3e-4, 250_000, 2048, flip=False)
    return datasets.imagenet(config, 64, batch_size=2048)
