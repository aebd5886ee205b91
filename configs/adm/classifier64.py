"""ADM's classifier of noisy ImageNet images, 64x64 (arXiv:2105.05233)."""

from scoresde.configs import datasets, openai


def get_config():
    """The experiment."""
    config = openai.chain("cosine", 1000, openai.encoder(64, num_res_blocks=4))
    datasets.imagenet(config, 64, batch_size=1024)
    openai.training(config, 6e-4, 300_000, 1024, flip=True)
    return openai.classifier(config, 6e-4, weight_decay=0.2)
