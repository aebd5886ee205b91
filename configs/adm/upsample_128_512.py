"""ADM's super-resolution of ImageNet, 128x128 to 512x512 (arXiv:2105.05233)."""

from scoresde.configs import datasets, openai


def get_config():
    """The experiment."""
    network = openai.super_resolution(openai.adm_unet(512, 192, attention_resolutions=(32, 16)))
    config = openai.hybrid(openai.chain("linear", 1000, network))
    datasets.imagenet(openai.with_low_resolution(config), 512, batch_size=256)
    return openai.training(config, 1e-4, 1_050_000, 256, flip=True)
