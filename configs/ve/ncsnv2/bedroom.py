"""NCSNv2 on LSUN bedrooms, 128x128, discrete times as meant (arXiv:2006.09011)."""

from scoresde.configs import datasets, networks, processes


def get_config():
    """The experiment."""
    config = processes.annealed_langevin(
        networks.ncsnv2(resolution=128),
        sigma_max=190.0,
        num_scales=1086,
        snr=0.095,
        corrector_steps=3,
    )
    config.training.ema_rate = 0.9999
    config.optimizer.learning_rate = 0.0001
    return datasets.lsun(config, "bedroom", 128)
