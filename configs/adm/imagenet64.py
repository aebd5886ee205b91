"""ADM on 64x64 ImageNet with its classes (arXiv:2105.05233)."""

from scoresde.configs import datasets, openai


def get_config():
    """The experiment."""
    network = openai.adm_unet(64, 192, 3, num_classes=1000, dropout=0.1)
    config = openai.hybrid(openai.chain("cosine", 1000, network))
    datasets.imagenet(config, 64, batch_size=2048)
    return openai.training(config, 3e-4, 540_000, 2048, flip=True)
