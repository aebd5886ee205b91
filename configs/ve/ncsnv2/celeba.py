"""NCSNv2 on CelebA, 64x64 (arXiv:2006.09011)."""

from scoresde.configs import datasets, networks, processes


def get_config():
    """The experiment."""
    config = processes.annealed_langevin(
        networks.ncsnv2(), sigma_max=90.0, num_scales=500, snr=0.128, corrector_steps=5
    )
    config.training.ema_rate = 0.999
    config.optimizer.learning_rate = 0.0001
    return datasets.celeba(config)
