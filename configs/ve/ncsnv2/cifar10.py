"""NCSNv2 on CIFAR-10: published FID 10.87 (arXiv:2006.09011)."""

from scoresde.configs import networks, processes


def get_config():
    """The experiment."""
    config = processes.annealed_langevin(
        networks.ncsnv2(), sigma_max=50.0, num_scales=232, snr=0.176, corrector_steps=5
    )
    config.training.ema_rate = 0.999
    config.optimizer.learning_rate = 0.0001
    return config
