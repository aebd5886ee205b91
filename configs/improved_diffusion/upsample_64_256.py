"""Improved DDPM's super-resolution of ImageNet, 64x64 to 256x256 (arXiv:2102.09672)."""

from scoresde.configs import datasets, openai


def get_config():
    """The experiment."""
    network = openai.super_resolution(openai.unet(256, 192, 2))
    config = openai.hybrid(openai.chain("linear", 4000, network))
    datasets.imagenet(openai.with_low_resolution(config), 256, batch_size=256)
    return openai.training(config, 3e-4, 500_000, 256, flip=False)
