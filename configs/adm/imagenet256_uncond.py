"""ADM on 256x256 ImageNet without classes (arXiv:2105.05233)."""

from scoresde.configs import datasets, openai


def get_config():
    """The experiment."""
    config = openai.hybrid(openai.chain("linear", 1000, openai.adm_unet(256)))
    datasets.imagenet(config, 256, batch_size=256)
    return openai.training(config, 1e-4, 1_980_000, 256, flip=True)
