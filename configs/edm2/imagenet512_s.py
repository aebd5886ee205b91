"""EDM2-S on latents of 512x512 ImageNet (arXiv:2312.02696): FID 2.56."""

from scoresde.configs import datasets, networks, processes


def get_config():
    """The experiment."""
    config = processes.edm2(
        networks.edm2(192, label_dim=1000),
        learning_rate=0.01,
        decay_steps=70_000,
        images=2048 * 2**20,
        mean=-0.4,
        std=1.0,
    )
    return datasets.imagenet512_latents(config)
