"""EDM2-M on 64x64 ImageNet with its classes (arXiv:2312.02696): FID 1.43."""

from scoresde.configs import datasets, networks, processes


def get_config():
    """The experiment."""
    config = processes.edm2(
        networks.edm2(256, label_dim=1000),
        learning_rate=0.009,
        decay_steps=35_000,
        images=2048 * 2**20,
        mean=-0.8,
        std=1.6,
        values=3 * 64 * 64,
    )
    return datasets.imagenet(config, 64, batch_size=2048)
