"""ADM's classifier of noisy ImageNet images, 256x256 (arXiv:2105.05233)."""

from scoresde.configs import datasets, openai


def get_config():
    """The experiment."""
    config = openai.chain("linear", 1000, openai.encoder(256))
    datasets.imagenet(config, 256, batch_size=256)
    openai.training(config, 3e-4, 500_000, 256, flip=True)
    return openai.classifier(config, 3e-4, weight_decay=0.05)
