"""Improved DDPM on LSUN bedrooms, 256x256 (arXiv:2102.09672)."""

from scoresde.configs import datasets, openai


def get_config():
    """The experiment."""
    network = openai.unet(256, 128, 2, attention_resolutions=(16,), num_heads=1)
    network.use_scale_shift_norm = False
    config = openai.hybrid(openai.chain("linear", 1000, network))
    datasets.lsun(config, "bedroom")
    return openai.training(config, 1e-4, 2_400_000, 128, flip=False)
