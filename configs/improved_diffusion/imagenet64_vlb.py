"""Improved DDPM on 64x64 ImageNet, L_vlb (arXiv:2102.09672)."""

from scoresde.configs import datasets, openai


def get_config():
    """The experiment."""
    network = openai.unet(64, 128, 3)
    config = openai.chain("cosine", 4000, network, rescale_timesteps=True)
    datasets.imagenet64(openai.vlb(config))
    return openai.training(config, 1e-4, 1_500_000, 128, flip=False)
