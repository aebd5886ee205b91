"""Improved DDPM on CIFAR-10, L_hybrid, 500,000 steps (arXiv:2102.09672)."""

from scoresde.configs import openai


def get_config():
    """The experiment."""
    network = openai.unet(32, 128, 3, dropout=0.3)
    config = openai.chain("cosine", 4000, network, rescale_timesteps=True)
    openai.hybrid(config, rescale_learned_sigmas=True)
    return openai.training(config, 1e-4, 500_000, 128, flip=False)
