"""ADM's super-resolution of ImageNet, 64x64 to 256x256 (arXiv:2105.05233)."""

from scoresde.configs import datasets, openai


def get_config():
    """The experiment."""
    network = openai.super_resolution(openai.adm_unet(256, 192, num_heads=4))
    config = openai.hybrid(openai.chain("linear", 1000, network))
    datasets.imagenet(openai.with_low_resolution(config), 256, batch_size=256)
    return openai.training(config, 1e-4, 500_000, 256, flip=True)
